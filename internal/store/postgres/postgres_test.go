//go:build unix

package postgres_test

import (
	"os"
	"testing"

	"leasehold/internal/pgtest"
	"leasehold/internal/store"
	"leasehold/internal/store/postgres"
	"leasehold/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// Locales are options of CREATE DATABASE in which PostgreSQL's own functions say different
// things of names: C knows the letters of ASCII only, in Turkish i is not a small I, Czech
// sorts ch after h, and ICU ignores signs. The build must have ICU.
var locales = map[string]string{
	"C":  "ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'",
	"tr": "LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'",
	"cs": "LOCALE_PROVIDER icu ICU_LOCALE 'cs-CZ'",
	"th": "LOCALE_PROVIDER icu ICU_LOCALE 'und-u-ka-shifted-ks-level2'",
}

// TestLocales: what is one name, and in which order names are, is the same in every locale.
func TestLocales(t *testing.T) {
	for name, options := range locales {
		t.Run(name, func(t *testing.T) {
			storetest.RunNames(t, func(t *testing.T, clock *storetest.Clock) store.Store {
				s, err := postgres.Open(t.Context(), pgtest.Locale(t, options), postgres.WithClock(clock.Now), postgres.WithBoot(clock.Boot))
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, clock *storetest.Clock) store.Store {
		s, err := postgres.Open(t.Context(), pgtest.Made(t), postgres.WithClock(clock.Now), postgres.WithBoot(clock.Boot))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
