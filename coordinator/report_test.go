package coordinator

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/bundle"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/proto"
)

func TestASupportBundleHasNoSecretsAndSaysWhatIsMissing(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	all, made, c := three(t)
	adopted(t, all[0])
	join := joinToken(t, c, proto.RoleAgent)
	keyPEM, err := os.ReadFile(filepath.Join(all[0].cfg.DataDir, pkiDir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	// Whatever was logged by mistake stays here, too.
	all[0].recent = func() []byte {
		return []byte("token " + made.Token + "\njoin " + join + "\n" + string(keyPEM) + "\nAuthorization: Bearer " + made.Token + "\nharmless\n")
	}
	all[2].end(t)

	var out bytes.Buffer
	if err := c.Download(context.Background(), "/v1/bundle", "", &out); err != nil {
		t.Fatal(err)
	}
	list, err := bundle.Read(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	missing, there := map[string]string{}, map[string]bool{}
	for _, f := range list.Files {
		missing[f.Name], there[f.Name] = f.Missing, f.Bytes > 0
	}
	for _, name := range []string{
		"tables/hosts.json", "tables/tokens.json", "tables/plans.json", "tables/notices.json", "coordinators.json", "coordinators/c1/config.yaml", "coordinators/c1/log.txt",
		"coordinators/c2/raft.json", "coordinators/c2/metrics.txt", "coordinators/c2/goroutines.txt",
	} {
		if !there[name] {
			t.Errorf("%s is not there: %s", name, missing[name])
		}
	}
	if missing["coordinators/c3"] == "" || missing["coordinators/c2/log.txt"] == "" {
		t.Errorf("it does not say what is missing: %v", missing)
	}

	zip, err := gzip.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for files := tar.NewReader(zip); ; {
		if _, err := files.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&text, files); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(text.String(), "harmless") {
		t.Error("the log is not there")
	}
	admin, _ := all[0].tables.View().Token(strings.Split(made.Token, ".")[1])
	secrets := map[string]string{
		"the admin token": strings.Split(made.Token, ".")[2], "the join token": strings.TrimPrefix(join, "gpj1."), "the CA's key": strings.Split(string(keyPEM), "\n")[1],
		"the gossip key in base64": base64.StdEncoding.EncodeToString(all[0].gossipKey), "in hexadecimal": hex.EncodeToString(all[0].gossipKey), "as it is": string(all[0].gossipKey),
		"a token's hash in base64": base64.StdEncoding.EncodeToString(admin.Hash), "a token's hash": hex.EncodeToString(admin.Hash),
	}
	for what, s := range secrets {
		if len(s) < 16 || strings.Contains(text.String(), s) {
			t.Errorf("the bundle has %s", what)
		}
	}
}

func TestASupportBundleHasEveryTable(t *testing.T) {
	// Of what a view has, by its fields.
	leftOut := map[string]string{
		"now": "each table's rows say when they changed", "applied": "raft.json of each coordinator has it",
		"active": "an index of the migrations", "ended": "an index of the migrations",
		"ledger": "made of hosts and reservations, which are there",
		"recent": "answers to requests, in case these are sent again: of no use but for that",
	}
	f := apitest.New(t)
	f.Must(&proto.NoticePut{Put: []proto.Notice{{ID: "short/host-a", Kind: proto.NoticeShort, Host: "host-a"}}})
	packed := map[string]string{}
	for _, file := range tableFiles(f.View()) {
		if file.Missing != "" || packed[file.Name] != "" {
			t.Errorf("%s is there twice, or is missing: %s", file.Name, file.Missing)
		}
		packed[file.Name] = string(file.Data)
	}
	if !strings.Contains(packed["tables/notices.json"], "short/host-a") || strings.Contains(packed["tables/plans.json"], "short/host-a") {
		t.Errorf("the notices are %s, the plans %s", packed["tables/notices.json"], packed["tables/plans.json"])
	}
	names := []string{"reservations"} // in the ledger
	for _, field := range reflect.VisibleFields(reflect.TypeFor[state.View]()) {
		names = append(names, field.Name)
	}
	for _, name := range names {
		if _, there := packed["tables/"+name+".json"]; there == (leftOut[name] != "") {
			t.Errorf("%s: in the bundle: %v; why it is left out: %q", name, there, leftOut[name])
		}
		delete(leftOut, name)
		delete(packed, "tables/"+name+".json")
	}
	if len(packed)+len(leftOut) > 0 {
		t.Errorf("of no table: %v; left out, and no part of a view: %v", slices.Sorted(maps.Keys(packed)), slices.Sorted(maps.Keys(leftOut)))
	}
}

func TestATokenThatIsNoLongerGoodForJoiningSaysWhatToDo(t *testing.T) {
	if testing.Short() {
		t.Skip("an election takes seconds")
	}
	t.Parallel()
	_, _, m, c := alone(t)
	used, revoked := joinToken(t, c, proto.RoleCoordinator), joinToken(t, c, proto.RoleCoordinator)
	var short v1.TokenReply // expires while the rest goes on
	eventually(t, "make a token of a short life", func() error {
		return c.Call(context.Background(), "POST", "/v1/tokens", v1.TokenRequest{Role: proto.RoleCoordinator, Expires: (2 * time.Second).Milliseconds()}, &short)
	})
	if err := Join(context.Background(), config3(t, "c2"), used, nil); err != nil {
		t.Fatal(err)
	}
	parsed, err := pki.ParseJoin(revoked)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Call(context.Background(), "DELETE", "/v1/tokens/"+parsed.ID, nil, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it expires", func() error {
		if err := m.do(context.Background(), "test", &proto.Tick{}); err != nil {
			return err
		}
		if now := m.tables.View().Now(); now < short.ExpiresAt {
			return fmt.Errorf("it is %s, and it expires at %s", now, short.ExpiresAt)
		}
		return nil
	})
	for says, token := range map[string]string{"good for one join": used, "was revoked": revoked, "expired at " + short.ExpiresAt.String(): short.Secret} {
		err := Join(context.Background(), config3(t, "c3"), token, nil)
		if !IsRefusal(err) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "glidepath token create --role coordinator") {
			t.Errorf("%s: %v", says, err)
		}
	}
}
