// Package traces makes demand histories for tests and demonstrations, and loads published ones for research.
package traces
