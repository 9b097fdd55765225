package state

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// exportVersion is the version of the exported form. Records in it are in the form in which they are replicated, so it
// is raised only when the frame around them changes. Fields of a newer program's records are dropped by an older one.
const exportVersion = 1

const (
	exportMagic = "glidepath-state"
	maxFrame    = 64 << 20 // bytes of one record
)

// ErrExport is wrapped by errors about what is not, or not all of, an exported state.
var ErrExport = errors.New("not a complete exported state")

// header is the first frame.
type header struct {
	Magic   string        `msgpack:"g"`
	Version int           `msgpack:"v"`
	Now     timeline.Time `msgpack:"t"`
	Applied uint64        `msgpack:"a"`
	Fleet   proto.Fleet   `msgpack:"f"`
}

// frame is a record, and the table that it belongs to; tableRecent and tableEnd besides those of proto.
type frame struct {
	Table  proto.Table `msgpack:"t"`
	Record []byte      `msgpack:"r"`
}

const (
	tableRecent proto.Table = "recent"
	tableEnd    proto.Table = "end" // the last frame, which tells a whole export from a cut one
)

// exporter writes frames until one fails.
type exporter struct {
	w   *bufio.Writer
	err error
}

func (e *exporter) frame(v any) {
	if e.err != nil {
		return
	}
	b, err := proto.Marshal(v)
	if err == nil {
		var size [binary.MaxVarintLen64]byte
		if _, err = e.w.Write(size[:binary.PutUvarint(size[:], uint64(len(b)))]); err == nil {
			_, err = e.w.Write(b)
		}
	}
	e.err = err
}

func exportAll[R any](e *exporter, t proto.Table, records iter.Seq[R]) {
	for r := range records {
		b, err := proto.Marshal(r)
		if err != nil {
			e.err = err
			return
		}
		e.frame(frame{t, b})
		if e.err != nil {
			return
		}
	}
}

// Export writes the view, records sorted by table and key. Equal states write equal bytes.
func (v *View) Export(w io.Writer) error {
	e := &exporter{w: bufio.NewWriterSize(w, 64<<10)}
	e.frame(header{exportMagic, exportVersion, v.now, v.applied, v.fleet})
	exportAll(e, proto.TableCoordinators, v.Coordinators())
	exportAll(e, proto.TableHosts, v.Hosts())
	exportAll(e, proto.TableTypes, v.Types())
	exportAll(e, proto.TableApplications, v.Applications())
	exportAll(e, proto.TableInstances, v.Instances())
	exportAll(e, proto.TableReservations, v.Reservations())
	exportAll(e, proto.TableMigrations, v.Migrations())
	exportAll(e, proto.TableEvents, v.Events())
	exportAll(e, proto.TableCalendars, v.Calendars())
	exportAll(e, proto.TableTokens, v.Tokens())
	exportAll(e, proto.TablePlans, v.Plans())
	exportAll(e, proto.TableNotices, v.Notices())
	exportAll(e, tableRecent, func(yield func(remembered) bool) {
		for _, r := range v.recent.order {
			if !yield(*r) {
				return
			}
		}
	})
	e.frame(frame{Table: tableEnd})
	if e.err == nil {
		e.err = e.w.Flush()
	}
	if e.err != nil {
		return fmt.Errorf("export the state: %w", e.err)
	}
	return nil
}

// Import reads what Export wrote. The error wraps ErrExport when it is not that, or cut.
func Import(r io.Reader) (*State, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var h header
	if err := readFrame(in, &h); err != nil {
		return nil, err
	}
	if h.Magic != exportMagic {
		return nil, fmt.Errorf("%w: it begins otherwise", ErrExport)
	}
	if h.Version > exportVersion {
		return nil, fmt.Errorf("%w: it has version %d, this program reads up to %d: install a newer one", ErrExport, h.Version, exportVersion)
	}
	s := New()
	v := s.view
	v.now, v.applied, v.fleet = h.Now, h.Applied, h.Fleet
	if v.fleet.ID != "" {
		l, err := ledger.New(ledger.Grid{Step: time.Duration(v.fleet.GridStep) * time.Millisecond}, v.fleet.Policy.Z, v.now)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrExport, err)
		}
		v.ledger = l
	}
	var held []proto.Reservation
	for {
		var f frame
		if err := readFrame(in, &f); err != nil {
			return nil, err
		}
		if f.Table == tableEnd {
			break
		}
		if err := v.importRecord(f, &held); err != nil {
			return nil, fmt.Errorf("%w: a record of %s: %w", ErrExport, f.Table, err)
		}
	}
	if err := v.ledger.Restore(held); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrExport, err)
	}
	return s, nil
}

// readFrame reads one frame. Memory grows with the bytes that come, not with the length that is declared.
func readFrame(in *bufio.Reader, v any) error {
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrExport, err)
	}
	if size > maxFrame {
		return fmt.Errorf("%w: a record of %d bytes", ErrExport, size)
	}
	b, err := io.ReadAll(io.LimitReader(in, int64(size)))
	if err == nil && uint64(len(b)) < size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = proto.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrExport, err)
	}
	return nil
}

func importInto[R any](t table[R], b []byte, key func(R) string) error {
	var r R
	if err := proto.Unmarshal(b, &r); err != nil {
		return err
	}
	t.put(key(r), r)
	return nil
}

func (v *View) importRecord(f frame, held *[]proto.Reservation) error {
	switch f.Table {
	case proto.TableCoordinators:
		return importInto(v.coordinators, f.Record, func(c proto.Coordinator) string { return c.Name })
	case proto.TableHosts:
		var h proto.Host
		if err := proto.Unmarshal(f.Record, &h); err != nil {
			return err
		}
		v.hosts.put(h.Facts.Name, h)
		return v.ledger.SetHost(capacity(h, v.fleet.Policy))
	case proto.TableTypes:
		return importInto(v.types, f.Record, func(t proto.InstanceType) string { return t.Name })
	case proto.TableApplications:
		return importInto(v.applications, f.Record, func(a proto.Application) string { return a.Name })
	case proto.TableInstances:
		return importInto(v.instances, f.Record, func(i proto.Instance) string { return i.Name() })
	case proto.TableReservations:
		var r proto.Reservation
		if err := proto.Unmarshal(f.Record, &r); err != nil {
			return err
		}
		*held = append(*held, r)
		return nil
	case proto.TableMigrations:
		return importInto(v.migrations, f.Record, func(m proto.Migration) string {
			v.note(m)
			return m.ID
		})
	case proto.TableEvents:
		return importInto(v.events, f.Record, func(e proto.Event) string { return e.ID })
	case proto.TableCalendars:
		return importInto(v.calendars, f.Record, func(c proto.Calendar) string { return c.Name })
	case proto.TableTokens:
		return importInto(v.tokens, f.Record, func(t proto.Token) string { return t.ID })
	case proto.TablePlans:
		return importInto(v.plans, f.Record, func(p proto.StoredPlan) string { return p.ID })
	case proto.TableNotices:
		return importInto(v.notices, f.Record, func(n proto.Notice) string { return n.ID })
	case tableRecent:
		var r remembered
		if err := proto.Unmarshal(f.Record, &r); err != nil {
			return err
		}
		v.recent.add(r)
		return nil
	default:
		return fmt.Errorf("this program does not know the table: install a newer one")
	}
}
