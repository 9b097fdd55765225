package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/glidepath/glidepath/coordinator/api/client"
	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/pki"
)

// What stands in for what nobody says.
const (
	defaultAddress = "127.0.0.1:7648"
	defaultPort    = "7648"
)

// settingsFile is the configuration file of the command.
type settingsFile struct {
	Addresses []string `yaml:"addresses"` // host:port of coordinators' APIs; port 7648 by default
	Token     string   `yaml:"token"`     // gpa1.…
	CAPin     string   `yaml:"ca_pin"`    // SHA-256 of the CA's public key, 64 hexadecimal digits
	CAFile    string   `yaml:"ca_file"`   // or the CA's certificate, PEM
}

// settings puts together flags, environment and configuration file: the former win.
func (a *app) settings() (client.Config, error) {
	file, err := a.settingsFile()
	if err != nil {
		return client.Config{}, err
	}
	out := client.Config{Token: file.Token}
	if t := a.env("GLIDEPATH_TOKEN"); t != "" {
		out.Token = t
	}
	if out.Token == "" {
		return out, errors.New("no token is set: put one into GLIDEPATH_TOKEN, or token: in the configuration file; glidepathd init prints the first")
	}
	if _, err := pki.ParseAdmin(out.Token); err != nil {
		return out, fmt.Errorf("GLIDEPATH_TOKEN or token: %w", err)
	}
	if out.Pin, err = a.pin(file); err != nil {
		return out, err
	}
	addresses := a.addresses
	if env := a.env("GLIDEPATH_ADDR"); len(addresses) == 0 && env != "" {
		addresses = strings.Split(env, ",")
	}
	if len(addresses) == 0 {
		addresses = file.Addresses
	}
	if len(addresses) == 0 {
		addresses = []string{defaultAddress}
	}
	for _, addr := range addresses {
		addr, err := completeAddress(addr)
		if err != nil {
			return out, err
		}
		out.Addresses = append(out.Addresses, addr)
	}
	return out, nil
}

// settingsFile reads the configuration file; one that is not there says nothing, unless it was named.
func (a *app) settingsFile() (settingsFile, error) {
	var file settingsFile
	name := a.configPath
	if name == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return file, nil //nolint:nilerr // without a home there is no default file
		}
		name = filepath.Join(dir, "glidepath", "config.yaml")
	}
	err := config.Read(name, &file)
	if errors.Is(err, fs.ErrNotExist) && a.configPath == "" {
		return file, nil
	}
	if err != nil {
		return file, err
	}
	if info, err := os.Stat(name); err == nil && file.Token != "" && info.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(a.stderr, "glidepath: warning: others can read the token in %s: chmod 600 it\n", name)
	}
	return file, nil
}

// pin returns the pin of the fleet's CA.
func (a *app) pin(file settingsFile) (pki.Pin, error) {
	text := file.CAPin
	if env := a.env("GLIDEPATH_CA_PIN"); env != "" {
		text = env
	}
	if text == "" && file.CAFile != "" {
		return pinOfFile(file.CAFile)
	}
	if text == "" {
		return pki.Pin{}, errors.New("the fleet's CA is not known: put its pin into GLIDEPATH_CA_PIN, or ca_pin: or ca_file: in the configuration file; " +
			"glidepathd init prints it")
	}
	var pin pki.Pin
	b, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) != len(pin) {
		return pin, fmt.Errorf("GLIDEPATH_CA_PIN or ca_pin: %.80q is not %d hexadecimal digits", text, 2*len(pin))
	}
	copy(pin[:], b)
	return pin, nil
}

func pinOfFile(name string) (pki.Pin, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return pki.Pin{}, fmt.Errorf("ca_file: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return pki.Pin{}, fmt.Errorf("ca_file: %s has no certificate in PEM", name)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return pki.Pin{}, fmt.Errorf("ca_file: %s: %w", name, err)
	}
	return sha256.Sum256(cert.RawSubjectPublicKeyInfo), nil
}

// completeAddress returns host:port.
func completeAddress(addr string) (string, error) {
	addr = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(addr), "https://"), "/")
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(strings.Trim(addr, "[]"), defaultPort)
	}
	if !config.IsDial(addr) {
		return "", usagef("%q is no address of a coordinator: use host or host:port", addr)
	}
	return addr, nil
}
