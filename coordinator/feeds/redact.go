package feeds

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/proto"
)

// Shown returns what may be shown of a calendar's URL: where it leads to, and that there is more, which may be a secret.
func Shown(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "…"
	}
	out := u.Scheme + "://"
	if u.User != nil {
		out += "…@"
	}
	out += u.Host
	if strings.Trim(u.EscapedPath(), "/") != "" || u.RawQuery != "" {
		out += "/…"
	}
	return out
}

// Check says what is wrong with a URL that is to be registered; "" for nothing. It does not repeat the URL.
func Check(address string) string {
	u, err := url.Parse(address)
	switch {
	case len(address) > proto.MaxCalendarURL:
		return fmt.Sprintf("it has more than %d bytes", proto.MaxCalendarURL)
	case strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "it has blanks or letters beyond those of ASCII, which are written like %20"
	case err != nil:
		return "it can't be read as a URL"
	case !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "http://"):
		return "it begins with neither https:// nor http://, in small letters"
	case u.Hostname() == "":
		return "it names no server"
	case u.Fragment != "":
		return "it has a part after #, which servers never see"
	}
	return ""
}

// shortest is how short a part of a URL may be that is left out of texts: shorter ones are no secrets, but are in many words.
const shortest = 4

// without returns a text without what may be a secret of a URL, as far as the text repeats it.
func without(text, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return text
	}
	parts := []string{address, u.RequestURI(), u.RawQuery, u.EscapedPath(), u.Path}
	parts = append(parts, strings.Split(u.Path, "/")...)
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		parts = append(parts, u.User.String(), u.User.Username(), password)
	}
	slices.SortFunc(parts, func(x, y string) int { return len(y) - len(x) }) // the whole before its parts
	for _, p := range parts {
		if len(p) >= shortest {
			text = strings.ReplaceAll(text, p, "…")
		}
	}
	return text
}
