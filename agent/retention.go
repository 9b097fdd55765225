package agent

import (
	"context"

	"github.com/glidepath/glidepath/agent/instance/service"
	"github.com/glidepath/glidepath/proto"
)

// ReadRetention returns what this host retains of instances that moved away. It reads what lies there, and needs no agent.
func ReadRetention(ctx context.Context, cfg Config) (proto.Retention, error) {
	return service.ReadRetention(ctx, cfg.keepDir())
}
