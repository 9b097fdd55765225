package proto

import (
	"fmt"
	"strings"
)

// Valid returns an error unless w is a fleet that can be asked for: other than the one that is, of bounded size, and with the names of hosts.
func (w WhatIf) Valid() error {
	switch {
	case w.Add < 0 || w.Add > MaxList:
		return fmt.Errorf("%d hosts more: use 1 to %d", w.Add, MaxList)
	case w.Add > 0 && w.Like == "":
		return fmt.Errorf("%s more, and it is not said like which one: name a host of the fleet", Count(w.Add, "host"))
	case w.Add == 0 && w.Like != "":
		return fmt.Errorf("hosts more like %s, and it is not said how many: use 1 to %d", w.Like, MaxList)
	case w.Add == 0 && len(w.Without) == 0:
		return fmt.Errorf("what is asked for is the fleet that is there: add hosts to it, or leave some out")
	case len(w.Without) > MaxList:
		return fmt.Errorf("%d hosts are left out: use at most %d", len(w.Without), MaxList)
	}
	if w.Like != "" {
		if err := ValidName("host", w.Like); err != nil {
			return err
		}
	}
	for i, name := range w.Without {
		if err := ValidName("host", name); err != nil {
			return err
		}
		if i > 0 && w.Without[i-1] >= name {
			return fmt.Errorf("host %s is left out twice, or is not in the order of names", name)
		}
	}
	return nil
}

// Words says in short how the fleet differs from the one that is.
func (w WhatIf) Words() string {
	var parts []string
	if w.Add > 0 {
		parts = append(parts, fmt.Sprintf("with %s more like %s", Count(w.Add, "host"), w.Like))
	}
	if len(w.Without) > 0 {
		parts = append(parts, "without "+Names(w.Without))
	}
	return strings.Join(parts, " and ")
}
