package coordinator

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/coordinator/snapshot"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Restoring says how a coordinator that does not run begins a fleet anew from a snapshot.
type Restoring struct {
	CADir    string   // folder with ca.crt and ca.key, for a coordinator that has none; "": its own
	Forget   []string // instances that are left out
	NewToken bool     // makes an admin token, for whoever has none that the snapshot knows
	Version  string   // of the program
	Log      *slog.Logger
}

// Restored is what came of it.
type Restored struct {
	Header      snapshot.Header
	Incarnation uint64 // that begins
	Aside       string // where Raft's former log is kept; "" if there was none
	Token       string // the new admin token, if one was wanted; it is shown once
}

// restoringDir is where Raft's new folder is made before it takes the place of the old one.
const restoringDir = "raft.restoring"

// Restore makes a fleet of this coordinator alone from a snapshot, in a new incarnation. Raft's former log is kept aside; history and the CA stay. Run follows.
func Restore(cfg Config, r io.Reader, how Restoring) (Restored, error) {
	fsys, now := durable.OS{}, time.Now()
	header, tables, err := snapshot.Read(r)
	if err != nil {
		return Restored{}, err
	}
	out := Restored{Header: header}
	pkiPath := filepath.Join(cfg.DataDir, pkiDir)
	if err := os.MkdirAll(pkiPath, 0o700); err != nil {
		return out, fmt.Errorf("data_dir: %w", err)
	}
	lock, err := durable.LockDir(cfg.DataDir)
	if err != nil {
		return out, err
	}
	defer func() { _ = lock.Unlock() }()

	ca, err := restoredCA(fsys, pkiPath, how.CADir)
	if err != nil {
		return out, err
	}
	if ca.Fleet() != header.Fleet {
		return out, fmt.Errorf("the snapshot is of fleet %s, and %w, %s: agents would not believe what is restored; use the CA of that fleet", header.Fleet, ErrOtherCA, ca.Fleet())
	}
	node, err := ca.Issue(pki.Coordinator, cfg.Name, now)
	if err != nil {
		return out, err
	}
	key, err := pki.KeyOf(node.Cert)
	if err != nil {
		return out, err
	}
	recovery := state.Recovery{
		By: proto.Coordinator{
			Name: cfg.Name, RPCAddr: cfg.RPC.Address(), APIAddr: cfg.API.Address(), GossipAddr: cfg.Gossip.Address(), Identity: key,
			Program: how.Version, Commands: proto.KnownCommands(),
		},
		At: timeline.Of(now), Forget: how.Forget, Reason: fmt.Sprintf("restored from a snapshot that %s took at %s", header.Coordinator, header.TakenAt),
	}
	if how.NewToken {
		admin := pki.MintAdmin()
		hash := admin.Hash()
		recovery.Token = &proto.Token{ID: admin.ID, Kind: proto.TokenAPI, Role: proto.RoleAdmin, Name: "restored", Hash: hash[:], ExpiresAt: timeline.Forever}
		out.Token = admin.Encode()
	}
	if err := tables.Recover(recovery); err != nil {
		return out, err
	}
	out.Incarnation = tables.View().Fleet().Incarnation
	if out.Aside, err = replaceRaft(cfg, tables.View().Export, how.Log, now); err != nil {
		return out, err
	}
	// Gossip has a new key: coordinators of the former life that come back are not heard. With the certificate, which comes last, all is done.
	err = errors.Join(
		durable.WriteFile(fsys, filepath.Join(cfg.DataDir, gossipKeyFile), pki.NewGossipKey(), 0o600),
		durable.Remove(fsys, filepath.Join(cfg.DataDir, gossipPeersFile)),
		durable.Remove(fsys, filepath.Join(cfg.DataDir, foundingFile)),
		pki.NewDir(fsys, pkiPath).SaveCA(ca),
	)
	if err == nil {
		err = pki.NewDir(fsys, pkiPath).SaveNode(node)
	}
	if err != nil {
		return out, fmt.Errorf("restore: %w", err)
	}
	return out, nil
}

// restoredCA returns the fleet's CA: from the folder that was named, or as this coordinator has it.
func restoredCA(fsys durable.FS, own, named string) (*pki.CA, error) {
	from := own
	if named != "" {
		from = named
	}
	ca, err := pki.NewDir(fsys, from).LoadCA()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no ca.key and ca.crt in %s: a snapshot has no keys; name the folder with the copy that was made of them, or any former coordinator's pki folder, with --ca", from)
	}
	return ca, err
}

// replaceRaft puts a folder with the snapshot in the place of Raft's, which is kept aside under a name with the time.
func replaceRaft(cfg Config, export func(io.Writer) error, log *slog.Logger, now time.Time) (aside string, err error) {
	made, place := filepath.Join(cfg.DataDir, restoringDir), filepath.Join(cfg.DataDir, raftDir)
	if err := os.RemoveAll(made); err != nil { // of an attempt that broke off
		return "", err
	}
	if err := consensus.Restore(made, cfg.Name, cfg.RPC.Address(), export, log); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if _, err := os.Lstat(place); err == nil {
		aside = place + ".before-" + now.UTC().Format("20060102T150405.000Z")
		if err := os.Rename(place, aside); err != nil {
			return "", fmt.Errorf("restore: keep the former log: %w", err)
		}
	}
	if err := os.Rename(made, place); err != nil {
		return aside, fmt.Errorf("restore: %w", err)
	}
	return aside, durable.OS{}.SyncDir(cfg.DataDir)
}
