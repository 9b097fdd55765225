package resource

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A unit multiplies the number before it.
type unit struct {
	suffix string
	factor float64
}

// Units per family, longest suffix first where one ends in another.
var (
	cpuUnits  = []unit{{"m", 1}, {"", 1000}}
	byteUnits = []unit{
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
		{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
	}
	bitUnits = []unit{{"kbit", 1e3}, {"Mbit", 1e6}, {"Gbit", 1e9}, {"bit", 1}, {"", 1}}
	opsUnits = []unit{{"", 1}}
)

func unitsOf(k Kind) []unit {
	switch k {
	case CPU:
		return cpuUnits
	case Memory, ReadBytes, WriteBytes:
		return byteUnits
	case NetTx, NetRx:
		return bitUnits
	default:
		return opsUnits
	}
}

// Parse reads an amount of the resource k as people write it: "500m" or "1.5" cores, "256MiB", "100Mbit", plain
// numbers for operations per second, "unlimited" for any. Amounts that are not whole units are rounded up.
// Negative, infinite and non-numeric amounts and units of another family are errors that name what is expected.
func Parse(k Kind, s string) (int64, error) {
	text := strings.TrimSpace(s)
	if text == "" {
		return 0, fmt.Errorf("%s is empty: write an amount like %s", k, example(k))
	}
	if text == "unlimited" {
		return Unlimited, nil
	}
	text = strings.TrimSuffix(text, "/s")
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	suffix := text[len(digits):]
	number := strings.TrimSpace(digits)
	for _, u := range unitsOf(k) {
		if u.suffix != suffix {
			continue
		}
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || strings.ContainsAny(number, "xX_") {
			if errors.Is(err, strconv.ErrRange) {
				return 0, fmt.Errorf("%s %q is too large", k, s)
			}
			return 0, fmt.Errorf("%s %q is not a number: write an amount like %s", k, s, example(k))
		}
		if f < 0 {
			return 0, fmt.Errorf("%s %q is negative", k, s)
		}
		n := math.Ceil(f*u.factor - 1e-6)
		if n > float64(Unlimited) {
			return 0, fmt.Errorf("%s %q is too large: write unlimited for no limit", k, s)
		}
		return int64(n), nil
	}
	return 0, fmt.Errorf("%s %q has the unknown unit %q: use %s, for example %s", k, s, suffix, unitNames(k), example(k))
}

func example(k Kind) string {
	switch unitsOf(k)[0].suffix {
	case "m":
		return "500m or 1.5"
	case "KiB":
		return "256MiB"
	case "kbit":
		return "100Mbit"
	default:
		return "200"
	}
}

func unitNames(k Kind) string {
	var names []string
	for _, u := range unitsOf(k) {
		if u.suffix == "" {
			names = append(names, "no unit")
			continue
		}
		names = append(names, u.suffix)
	}
	return strings.Join(names, ", ")
}

// Format prints an amount of the resource k with at most four significant digits lost to nothing: what it prints,
// Parse reads back exactly where the amount is a round one, and within a thousandth otherwise.
func Format(k Kind, n int64) string {
	if n >= Unlimited {
		return "unlimited"
	}
	switch k {
	case CPU:
		if n%1000 == 0 {
			return strconv.FormatInt(n/1000, 10)
		}
		return strconv.FormatInt(n, 10) + "m"
	case Memory, ReadBytes, WriteBytes:
		return scaled(n, 1024, []string{"B", "KiB", "MiB", "GiB", "TiB"})
	case NetTx, NetRx:
		return scaled(n, 1000, []string{"bit", "kbit", "Mbit", "Gbit"})
	default:
		return strconv.FormatInt(n, 10)
	}
}

// scaled prints n in the largest unit in which it is at least 1.
func scaled(n int64, base float64, units []string) string {
	f, i := float64(n), 0
	for f >= base && i < len(units)-1 {
		f /= base
		i++
	}
	s := strconv.FormatFloat(f, 'f', 3, 64)
	if i == 0 {
		s = strconv.FormatInt(n, 10)
	}
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s + units[i]
}
