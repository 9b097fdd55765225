package coordinator

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/durable"
)

// rememberedFile keeps in the data folder what init, join or restore were told by flags.
const rememberedFile = "flags.yaml"

// Remembered is what flags said where the configuration says nothing.
type Remembered struct {
	Name string `yaml:"name,omitempty"`      // of the coordinator
	Host string `yaml:"advertise,omitempty"` // under which the others reach it
}

// Remember keeps r for Run. What is empty is left as it is remembered.
func Remember(dataDir string, r Remembered) error {
	old, err := remembered(dataDir)
	if err != nil {
		return err
	}
	if r.Name == "" {
		r.Name = old.Name
	}
	if r.Host == "" {
		r.Host = old.Host
	}
	if r == old {
		return nil
	}
	text, err := yaml.Marshal(r)
	if err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, filepath.Join(dataDir, rememberedFile), text, 0o600)
}

func remembered(dataDir string) (Remembered, error) {
	var r Remembered
	text, err := durable.ReadFile(durable.OS{}, filepath.Join(dataDir, rememberedFile), maxSmallFile)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	return r, config.Decode(strings.NewReader(string(text)), filepath.Join(dataDir, rememberedFile), &r)
}

// WithRemembered returns c with what flags said where its file says nothing: a name other than the host's, addresses where listen names no host.
func (c Config) WithRemembered() (Config, error) {
	r, err := remembered(c.DataDir)
	if err != nil {
		return c, fmt.Errorf("what the flags of init or join said: %w", err)
	}
	if r.Name != "" && c.Name == Default().Name {
		c.Name = r.Name
	}
	if r.Host == "" {
		return c, nil
	}
	for _, a := range []*AddressConfig{&c.RPC, &c.Gossip, &c.API} {
		if !config.IsDial(a.Address()) {
			a.AdvertiseHost(r.Host)
		}
	}
	return c, nil
}

// AdvertiseHost makes others reach the service at the host, with the port that it listens on.
func (a *AddressConfig) AdvertiseHost(host string) {
	a.Advertise = host + ":" + a.Listen[strings.LastIndex(a.Listen, ":")+1:]
}
