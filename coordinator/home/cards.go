package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// cardsKept is how long a scorecard is kept that nothing is written to any more: as long as the history of its instance.
const cardsKept = 5 * 7 * 24 * time.Hour

// cardSuffix ends the names of the files of scorecards.
const cardSuffix = ".scorecard"

// Cards keeps scorecards in the files of a folder, one for each instance. Of one instance there is one caller at a time.
type Cards struct {
	fsys durable.FS
	dir  string
}

// OpenCards returns the scorecards in a folder, which it makes where there is none.
func OpenCards(fsys durable.FS, dir string) (*Cards, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if _, err := durable.Sweep(fsys, dir); err != nil {
		return nil, err
	}
	return &Cards{fsys, dir}, nil
}

func (c *Cards) path(instance string) (string, error) {
	if err := proto.ValidName("instance", instance); err != nil {
		return "", err
	}
	return filepath.Join(c.dir, instance+cardSuffix), nil
}

// errDamaged is told by errors.Is of a scorecard that was read, and is none.
var errDamaged = errors.New("it is damaged, or of a later version")

// Load returns an instance's scorecard; an empty one when there is none.
func (c *Cards) Load(instance string) (proto.Scorecard, error) {
	path, err := c.path(instance)
	if err != nil {
		return proto.Scorecard{}, err
	}
	b, err := durable.ReadFile(c.fsys, path, proto.MaxScorecard)
	if errors.Is(err, fs.ErrNotExist) {
		return proto.Scorecard{}, nil
	}
	if err != nil {
		return proto.Scorecard{}, fmt.Errorf("scorecard %s: %w", path, err)
	}
	var card proto.Scorecard
	if err = proto.Unmarshal(b, &card); err == nil {
		err = card.Valid()
	}
	if err != nil {
		return proto.Scorecard{}, fmt.Errorf("scorecard %s: %w: %w", path, errDamaged, err)
	}
	return card, nil
}

// Save stores a scorecard durably in the place of the one before.
func (c *Cards) Save(card proto.Scorecard) error {
	path, err := c.path(card.Instance)
	if err != nil {
		return err
	}
	b, err := proto.Marshal(card)
	if err != nil {
		return err
	}
	if len(b) > proto.MaxScorecard {
		return fmt.Errorf("scorecard %s: %d bytes are more than the %d that one may have", path, len(b), proto.MaxScorecard)
	}
	return durable.WriteFile(c.fsys, path, b, 0o600)
}

// Prune removes the scorecards that nothing was written to for long, and of whose instances nothing is known: they were released.
func (c *Cards) Prune(now timeline.Time, known func(instance string) bool) error {
	names, err := c.fsys.List(c.dir)
	if err != nil {
		return err
	}
	var problems []error
	for _, name := range names {
		instance, ok := strings.CutSuffix(name, cardSuffix)
		if !ok || known(instance) {
			continue
		}
		path := filepath.Join(c.dir, name)
		info, err := c.fsys.Stat(path)
		if err == nil && now.Sub(timeline.Of(info.ModTime())) > cardsKept {
			err = durable.Remove(c.fsys, path)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}
