package pki

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/glidepath/glidepath/internal/durable"
)

// File names in a directory of keys and certificates.
const (
	caCertFile   = "ca.crt"
	caKeyFile    = "ca.key"
	nodeCertFile = "node.crt"
	nodeKeyFile  = "node.key"
)

// maxFile bounds a file before it is read; ours have about 1 KB.
const maxFile = 64 << 10

// Node is what a process keeps on its disk to be of the fleet, all PEM.
type Node struct {
	Cert []byte // its certificate, then the CA's
	Key  []byte
	CA   []byte // the CA's certificates
}

// Issue makes a key and a certificate at once, for where the CA and the process are on one machine: a coordinator's own.
func (ca *CA) Issue(kind Kind, name string, now time.Time) (Node, error) {
	key, err := NewKey()
	if err != nil {
		return Node{}, err
	}
	csr, err := NewCSR(key, name)
	if err != nil {
		return Node{}, err
	}
	cert, err := ca.Sign(csr, Identity{Fleet: ca.fleet, Kind: kind, Name: name}, now)
	if err != nil {
		return Node{}, err
	}
	keyPEM, err := EncodeKey(key)
	if err != nil {
		return Node{}, err
	}
	return Node{Cert: cert, Key: keyPEM, CA: ca.CertPEM()}, nil
}

// Credentials checks that the parts belong together and returns them for use.
func (n Node) Credentials() (*Credentials, error) { return NewCredentials(n.Cert, n.Key, n.CA) }

// Dir is a directory of keys and certificates: ca.crt, node.crt, node.key, and on coordinators ca.key.
type Dir struct {
	fsys durable.FS
	path string
}

// NewDir returns the directory at path, which must exist.
func NewDir(fsys durable.FS, path string) Dir { return Dir{fsys: fsys, path: path} }

// SaveNode writes what a join or an init gave. The certificate comes last: only with it has the process joined, so after a
// crash in between it joins again.
func (d Dir) SaveNode(n Node) error {
	if _, err := n.Credentials(); err != nil {
		return fmt.Errorf("save the identity in %s: %w", d.path, err)
	}
	if err := d.save(nodeKeyFile, n.Key, 0o600); err != nil {
		return err
	}
	return d.SaveCert(n.Cert, n.CA)
}

// SaveCert replaces the certificates after a renewal; the key stays.
func (d Dir) SaveCert(cert, ca []byte) error {
	if err := d.save(caCertFile, ca, 0o644); err != nil {
		return err
	}
	return d.save(nodeCertFile, cert, 0o644)
}

// LoadNode reads what SaveNode wrote. A process that has not joined yet gets an error that wraps fs.ErrNotExist.
func (d Dir) LoadNode() (Node, error) {
	cert, err := d.load(nodeCertFile)
	if err != nil {
		return Node{}, err
	}
	ca, err := d.load(caCertFile)
	if err != nil {
		return Node{}, err
	}
	key, err := d.loadKey(nodeKeyFile)
	if err != nil {
		return Node{}, err
	}
	return Node{Cert: cert, Key: key, CA: ca}, nil
}

// SaveCA writes the CA with its key.
func (d Dir) SaveCA(ca *CA) error {
	key, err := ca.KeyPEM()
	if err != nil {
		return err
	}
	if err := d.save(caKeyFile, key, 0o600); err != nil {
		return err
	}
	return d.save(caCertFile, ca.CertPEM(), 0o644)
}

// LoadCA reads what SaveCA wrote. An error wraps fs.ErrNotExist where there is no CA's key.
func (d Dir) LoadCA() (*CA, error) {
	key, err := d.loadKey(caKeyFile)
	if err != nil {
		return nil, err
	}
	cert, err := d.load(caCertFile)
	if err != nil {
		return nil, err
	}
	ca, err := ParseCA(cert, key)
	if err != nil {
		return nil, fmt.Errorf("load the fleet's CA from %s: %w", d.path, err)
	}
	return ca, nil
}

func (d Dir) save(name string, data []byte, perm fs.FileMode) error {
	return durable.WriteFile(d.fsys, filepath.Join(d.path, name), data, perm)
}

func (d Dir) load(name string) ([]byte, error) {
	return durable.ReadFile(d.fsys, filepath.Join(d.path, name), maxFile)
}

// loadKey refuses a key that others could have read: it must be taken for stolen.
func (d Dir) loadKey(name string) ([]byte, error) {
	path := filepath.Join(d.path, name)
	info, err := d.fsys.Stat(path)
	if err != nil {
		return nil, err
	}
	if open := info.Mode().Perm() & 0o077; open != 0 || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("key %s has mode %s: others on this machine may have read it; if nobody has, run: chmod 600 %s; else join again with a new token",
			path, info.Mode(), path)
	}
	return d.load(name)
}
