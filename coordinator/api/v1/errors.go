package v1

import "encoding/json"

// Code says what kind of failure a request ended in, so that programs can decide.
type Code string

// The codes, with the HTTP status that each comes with.
const (
	CodeInvalid      Code = "invalid"           // 400: malformed, or a value that can never be right
	CodeUnauthorised Code = "unauthorised"      // 401: no token, or one that is not good
	CodeForbidden    Code = "forbidden"         // 403: the token's role may not
	CodeNotFound     Code = "not_found"         // 404: what the request names is not there
	CodeMethod       Code = "method"            // 405: the path is there, not with this method
	CodeConflict     Code = "conflict"          // 409: another thing of that name, or another decision, was first
	CodeTooLarge     Code = "too_large"         // 413
	CodeMediaType    Code = "media_type"        // 415
	CodeRefused      Code = "refused"           // 422: makes sense, and the answer is no as things are
	CodeInternal     Code = "internal"          // 500: a fault of the coordinator
	CodeUnavailable  Code = "unavailable"       // 503: no leader, or a host or home is out of reach: try again
	CodeDeadline     Code = "deadline_exceeded" // 504
)

// Error is what every request that failed is answered with, as {"error": …}.
type Error struct {
	Code    Code            `json:"code"`
	Message string          `json:"message"`          // what failed, and for which object
	Remedy  string          `json:"remedy,omitempty"` // what to do, where the message does not say it
	Detail  json.RawMessage `json:"detail,omitempty"` // for programs: see ErrorDetail
}

// ErrorBody is the body of a response that is not 2xx.
type ErrorBody struct {
	Error Error `json:"error"`
}

// Error returns the message, and what to do.
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Message
	}
	return e.Message + ": " + e.Remedy
}
