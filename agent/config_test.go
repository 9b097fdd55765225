package agent

import (
	"strings"
	"testing"
)

func TestValidateNamesEveryProblemAtOnce(t *testing.T) {
	c := Default()
	c.Name, c.RunDir, c.Coordinators, c.Buffer, c.Listen, c.Log.Format = "", "run", []string{":7647"}, "64Mbit", "", "xml"
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"name:", "run_dir:", "coordinators:", "buffer:", "listen:", "log.format:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestTheDefaultIsValidOnceNamed(t *testing.T) {
	c := Default()
	c.Name = "host-a"
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
}
