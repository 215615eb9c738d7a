package tunnel

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// be writes numbers as the protocol does.
func be(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		switch p := p.(type) {
		case int: // a byte
			b.WriteByte(byte(p))
		case string:
			b.WriteString(p)
		case []byte:
			b.Write(p)
		default:
			if err := binary.Write(&b, binary.BigEndian, p); err != nil {
				panic(err)
			}
		}
	}
	return b.Bytes()
}

const version38 = "RFB 003.008\n"

var hello = be(version38, 1, 1)

func cutText(flags uint32, data string) []byte {
	return be(6, 0, 0, 0, int32(-4-len(data)), flags, data)
}

// messages are one of each that noVNC sends.
var messages = []struct {
	name  string
	b     []byte
	input bool
}{
	{"SetPixelFormat", be(0, make([]byte, 19)), false},
	{"SetEncodings", be(2, 0, uint16(3), int32(7), int32(-239), int32(-308)), false},
	{"SetEncodings, none", be(2, 0, uint16(0)), false},
	{"FramebufferUpdateRequest", be(3, 1, uint16(0), uint16(0), uint16(1280), uint16(800)), false},
	{"KeyEvent", be(4, 1, uint16(0), uint32(0x61)), true},
	{"PointerEvent", be(5, 1, uint16(10), uint16(20)), true},
	{"PointerEvent, extended", be(5, 0x81, uint16(10), uint16(20), 3), true},
	{"ClientCutText", be(6, 0, 0, 0, int32(5), "hello"), true},
	{"ClientCutText, nothing", be(6, 0, 0, 0, int32(0)), true},
	{"clipboard: capabilities", cutText(1<<24|1, "\x00\x00\x00\x00"), false},
	{"clipboard: request", cutText(1<<25|1, ""), false},
	{"clipboard: notify", cutText(1<<27|1, ""), true},
	{"clipboard: provide", cutText(1<<28|1, "some deflated text"), false},
	{"EnableContinuousUpdates", be(150, 1, uint16(0), uint16(0), uint16(1280), uint16(800)), false},
	{"ClientFence", be(248, 0, 0, 0, uint32(1), 8, "12345678"), false},
	{"ClientFence, empty", be(248, 0, 0, 0, uint32(1), 0), false},
	{"xvp", be(250, 0, 1, 2), false},
	{"SetDesktopSize", be(251, 0, uint16(800), uint16(600), 1, 0, make([]byte, 16)), false},
	{"QEMU key", be(255, 0, uint16(1), uint32(0x61), uint32(0x1e)), true},
}

func TestMessages(t *testing.T) {
	greetings := map[string][]byte{"3.8": hello, "3.7": be("RFB 003.007\n", 1, 0), "3.3": be("RFB 003.003\n", 1)}
	for version, greeting := range greetings {
		for _, m := range messages {
			// Twice, so that a wrong length is seen by what follows; in one piece and byte by byte.
			stream := slices.Concat(greeting, m.b, m.b)
			var whole, bytewise parser
			got := whole.read(stream)
			inputs := 0
			for i := range stream {
				if bytewise.read(stream[i : i+1]) {
					inputs++
				}
			}
			want := 0
			if m.input {
				want = 2
			}
			if got != m.input || inputs != want || whole.lost || bytewise.lost || whole.have+bytewise.have != 0 || whole.skip+bytewise.skip != 0 {
				t.Errorf("%s, %s: input %v, byte by byte %d times, lost %v, %d bytes and %d missing", version, m.name, got, inputs, whole.lost, whole.have, whole.skip)
			}
		}
	}
}

func TestGivesUp(t *testing.T) {
	for name, b := range map[string][]byte{
		"no RFB": []byte("GET / HTTP/1.1\r\n"), "version 4": []byte("RFB 004.001\n"), "version 3.5": []byte("RFB 003.005\n"),
		"security with a password": be(version38, 2), "gii": be(hello, 253, 129), "QEMU audio": be(hello, 255, 1), "Rainbow": be(hello, 99),
		"extended clipboard without flags": be(hello, 6, 0, 0, 0, int32(-3)),
	} {
		var p parser
		if !p.read(b) || !p.lost {
			t.Errorf("%s is understood", name)
		}
		if !p.read([]byte{3}) {
			t.Errorf("%s: what follows is no input", name)
		}
		if p.read(nil) {
			t.Errorf("%s: nothing is input", name)
		}
	}
}

// FuzzParser: whatever comes, in whatever pieces, it is judged alike, little is kept of it
// and it is not changed.
func FuzzParser(f *testing.F) {
	all := slices.Clone(hello)
	for _, m := range messages {
		f.Add(slices.Concat(hello, m.b), 3)
		all = append(all, m.b...)
	}
	f.Add(all, 7)
	f.Add(be(hello, 6, 0, 0, 0, int32(-1<<31), uint32(1<<27)), 1)
	f.Add(be(hello, 6, 0, 0, 0, int32(1<<31-1)), 1)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		size = 1 + (size&0x7fff)%64
		before := slices.Clone(b)
		var whole, pieces parser
		got := whole.read(b)
		some := false
		for piece := range slices.Chunk(b, size) {
			if pieces.read(piece) {
				some = true
			}
		}
		if got != some {
			t.Errorf("input %v in one piece, %v in pieces of %d", got, some, size)
		}
		if whole.lost != pieces.lost || whole != pieces && !whole.lost {
			t.Errorf("in pieces of %d it stands at %+v, in one at %+v", size, pieces, whole)
		}
		if whole.skip < 0 || whole.have > longestHeader {
			t.Errorf("it stands at %+v", whole)
		}
		if !bytes.Equal(b, before) {
			t.Error("it has changed the stream")
		}
	})
}
