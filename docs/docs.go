// Package docs carries what programs serve of the documentation.
package docs

import _ "embed" // the document

// OpenAPI is the description of the coordinators' HTTP API, made from its routes by `make generate`.
//
//go:embed openapi.json
var OpenAPI []byte
