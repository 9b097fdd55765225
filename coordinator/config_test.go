package coordinator

import (
	"strings"
	"testing"
)

func TestValidateNamesEveryProblemAtOnce(t *testing.T) {
	c := Default()
	c.Name, c.DataDir, c.Join, c.Log.Level, c.API.Listen = "a b", "data", []string{"nowhere"}, "loud", "7648"
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"name:", "data_dir:", "join:", "log.level:", "api.listen:", "rpc.advertise: say where", "gossip.advertise: say where"} {
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
