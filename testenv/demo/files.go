//go:build linux

package demo

// Files that the demonstration applies, as an operator would write them.
const (
	typesFile = `name: m.small
max: {cpu: 250m, memory: 128MiB}
---
name: m.large
max: {cpu: 1, memory: 384MiB}
`
	applicationFile = `name: redis
class: critical
startup: {cpu: 880m}
decay: 8s
memory_floor: 32MiB
`
	instanceFile = `name: cache-1
driver: service
service: {unit: redis-server.service, data: [/var/lib/redis], config: [/etc/redis]}
host: host-a
address: 10.77.0.60/24
health: {tcp: 6379, within: 10s}
type: m.small
class: critical
application: redis
mode: enforce
`
)
