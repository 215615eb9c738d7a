//go:build unix

package main

import "testing"

// TestBench: what make bench loads fits the schema as it is.
func TestBench(t *testing.T) {
	users, devices := nUsers, nDevices
	nUsers, nDevices = 500, 500
	defer func() { nUsers, nDevices = users, devices }()
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			d, err := newDatabases(name)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.close(); err != nil {
					t.Error(err)
				}
			}()
			db, err := d.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := benchBatches(t.Context(), &options{sessions: 3000}, db, &report{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBenchStreams: both ways to a display work, and are measured.
func TestBenchStreams(t *testing.T) {
	r := &report{}
	if err := benchStreams(t.Context(), &options{seconds: 1, repeats: 1}, r); err != nil {
		t.Fatal(err)
	}
	if len(r.sections) != 1 || len(r.sections[0].rows) != 4 {
		t.Errorf("it reports %+v", r.sections)
	}
}
