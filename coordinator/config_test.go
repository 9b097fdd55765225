package coordinator

import (
	"strings"
	"testing"
)

func TestValidateNamesEveryProblemAtOnce(t *testing.T) {
	c := Default()
	c.Name, c.DataDir, c.Join, c.Log.Level, c.API.Listen, c.Audit.File = "a b", "data", []string{"nowhere"}, "loud", "7648", "audit"
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"name:", "data_dir:", "audit.file:", "join:", "log.level:", "api.listen:", "rpc.advertise: say where", "gossip.advertise: say where"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestADefaultWithAddressesIsValid(t *testing.T) {
	c := Default()
	c.Name = "c1"
	c.RPC.Advertise, c.Gossip.Advertise, c.API.Listen = "10.77.0.11:7647", "10.77.0.11:7646", "10.77.0.11:7648"
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := c.API.Address(); got != "10.77.0.11:7648" {
		t.Fatal(got)
	}
}

func TestWhatFlagsSaidIsRememberedWhereTheFileSaysNothing(t *testing.T) {
	c := Default()
	c.DataDir = t.TempDir()
	if err := Remember(c.DataDir, Remembered{Name: "c1", Host: "10.0.0.11"}); err != nil {
		t.Fatal(err)
	}
	if err := Remember(c.DataDir, Remembered{}); err != nil { // a later command without flags
		t.Fatal(err)
	}
	c.API.Advertise = "10.0.0.99:7648"
	got, err := c.WithRemembered()
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "c1" || got.RPC.Address() != "10.0.0.11:7647" || got.Gossip.Address() != "10.0.0.11:7646" || got.API.Address() != "10.0.0.99:7648" {
		t.Errorf("%+v", got)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	c.Name = "named-in-the-file"
	if got, _ := c.WithRemembered(); got.Name != c.Name {
		t.Errorf("the file says %q, and it is %q", c.Name, got.Name)
	}
}
