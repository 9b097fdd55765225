package openapi

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Natives returns the schemas of what writes its JSON itself: times, resources and their amounts.
func Natives() (map[reflect.Type]Named, error) {
	kinds, amounts := []string{}, Schema{}
	for _, k := range resource.All() {
		kinds = append(kinds, k.String())
		var v resource.Vector
		v[k] = 1
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		var by map[string]int64
		if err := json.Unmarshal(text, &by); err != nil {
			return nil, err
		}
		for name, n := range by {
			if n == 1 {
				amounts[name] = Schema{"type": []string{"integer", "null"}, "minimum": 0}
			}
		}
	}
	return map[reflect.Type]Named{
		reflect.TypeFor[timeline.Time](): {Name: "Time", Schema: Schema{"type": "integer", "description": "In Unix milliseconds, UTC. 4503599627370496 is for ever."}},
		reflect.TypeFor[resource.Kind](): {Name: "Resource", Schema: Schema{"type": "string", "enum": kinds}},
		reflect.TypeFor[resource.Vector](): {Name: "Resources", Schema: Schema{
			"type": "object", "properties": amounts, "additionalProperties": false,
			"description": "Amounts of resources. null is unlimited; what a request leaves out is 0.",
		}},
	}, nil
}

// OfPrograms returns the options of a document of what a program prints with --json, where no operation of the API answers it. root leads from the test to
// the module.
func OfPrograms(program, root string) (Options, error) {
	natives, err := Natives()
	if err != nil {
		return Options{}, err
	}
	natives[reflect.TypeFor[time.Time]()] = Named{Name: "Date", Schema: Schema{"type": "string", "format": "date-time"}}
	return Options{
		Title: program, Version: "v1",
		Description: "What " + program + " prints with --json, beside the answers of the API, which openapi.json has. docs/reference/cli.md says which command prints what. There may be more fields later.",
		Module:      "github.com/glidepath/glidepath", Root: root, Native: natives,
		Filled: func(reflect.Type) bool { return false },
	}, nil
}
