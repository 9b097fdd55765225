package proto

import (
	"fmt"
	"strings"
	"testing"
)

func TestAPlanThatIsTooLargeIsStoredWithoutItsReasons(t *testing.T) {
	p := StoredPlan{ID: "p", Moves: make([]Move, MaxMoves)}
	for i := range p.Moves {
		p.Moves[i] = Move{Instance: fmt.Sprint("i", i), Reasons: []string{strings.Repeat("x", 4000)}}
	}
	text, err := Marshal(p.Slim())
	if err != nil || len(text) > mostStored || len(text) < mostStored/4 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if len(p.Moves[MaxMoves-1].Reasons) == 0 {
		t.Error("what was given has changed")
	}
}
