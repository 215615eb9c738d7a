package tunnel

import "encoding/binary"

// Messages of a viewer: those of RFC 6143, and those that noVNC sends besides, as the
// community's description of the protocol has them.
const (
	msgSetPixelFormat    = 0
	msgSetEncodings      = 2
	msgUpdateRequest     = 3
	msgKey               = 4
	msgPointer           = 5
	msgCutText           = 6
	msgContinuousUpdates = 150
	msgFence             = 248
	msgXVP               = 250
	msgSetDesktopSize    = 251
	msgQEMU              = 255

	qemuKey = 0 // the only kind of msgQEMU that noVNC sends
)

// cutNotify is the flag of an extended clipboard message (its first four bytes of data)
// that says that the person has something new to paste. The other messages answer the
// display by themselves.
const cutNotify = 1 << 27

// longestHeader is how much of a message there must be to know its length and its kind.
const longestHeader = 12

// parser reads along in what a viewer sends, and tells a person's input from what the
// viewer sends by itself. It sees the stream in pieces of any size, keeps a few bytes and
// changes nothing. Once it meets what it does not know it takes everything for input:
// better that a session lives too long than that it ends under somebody's hands.
type parser struct {
	state  state
	old    bool // version 3.3, in which the display chooses the security
	lost   bool // the stream is not understood
	header [longestHeader]byte
	have   int   // bytes of the header that are there
	skip   int64 // bytes of the message that are of no interest
}

// state is what comes next.
type state int

const (
	atVersion state = iota
	atSecurity
	atInit
	atMessage
)

// read takes the next piece of the stream. It reports whether there was input in it.
func (p *parser) read(b []byte) (input bool) {
	for len(b) > 0 {
		if p.lost {
			return true
		}
		if p.skip > 0 {
			n := min(p.skip, int64(len(b)))
			p.skip -= n
			b = b[n:]
			continue
		}
		p.header[p.have] = b[0]
		p.have++
		b = b[1:]
		if p.step() {
			input = true
		}
	}
	return input
}

// step looks at what there is of the header. Once that is enough it says how much is to be
// skipped, and whether it is input.
func (p *parser) step() (input bool) {
	h := p.header[:p.have]
	switch p.state {
	case atVersion:
		return p.version(h)
	case atSecurity:
		// 1 is None; with any other one a conversation would follow.
		if h[0] != 1 {
			return p.give()
		}
		return p.next(atInit, 0)
	case atInit:
		return p.next(atMessage, 0)
	}
	return p.message(h)
}

func (p *parser) version(h []byte) (input bool) {
	const form = "RFB 003.00x\n" // x is 3, 7 or 8
	i := len(h) - 1
	if h[i] != form[i] && i != 10 {
		return p.give()
	}
	if i == 10 {
		switch h[i] {
		case '3':
			p.old = true
		case '7', '8':
		default:
			return p.give()
		}
	}
	if len(h) < len(form) {
		return false
	}
	if p.old {
		return p.next(atInit, 0)
	}
	return p.next(atSecurity, 0)
}

// message is step for a message. The bytes of h are those that there are.
func (p *parser) message(h []byte) (input bool) {
	n := len(h)
	switch h[0] {
	case msgSetPixelFormat:
		return p.next(atMessage, 19)
	case msgSetEncodings:
		if n == 4 {
			return p.next(atMessage, 4*int64(binary.BigEndian.Uint16(h[2:])))
		}
	case msgUpdateRequest, msgContinuousUpdates:
		return p.next(atMessage, 9)
	case msgKey:
		p.next(atMessage, 7)
		return true
	case msgPointer:
		if n == 2 {
			// The highest bit says that a byte with further buttons follows.
			p.next(atMessage, 4+int64(h[1]>>7))
			return true
		}
	case msgCutText:
		return p.cutText(h)
	case msgFence:
		if n == 9 {
			return p.next(atMessage, int64(h[8]))
		}
	case msgXVP:
		return p.next(atMessage, 3)
	case msgSetDesktopSize:
		if n == 7 {
			return p.next(atMessage, 1+16*int64(h[6]))
		}
	case msgQEMU:
		if n == 2 {
			if h[1] != qemuKey {
				return p.give()
			}
			p.next(atMessage, 10)
			return true
		}
	default:
		return p.give()
	}
	return false
}

// cutText is a message of the clipboard. A negative length is that of the extended one,
// whose data begins with flags.
func (p *parser) cutText(h []byte) (input bool) {
	if len(h) < 8 {
		return false
	}
	length := int64(int32(binary.BigEndian.Uint32(h[4:])))
	if length >= 0 {
		p.next(atMessage, length)
		return true
	}
	if length > -4 {
		return p.give()
	}
	if len(h) < 12 {
		return false
	}
	flags := binary.BigEndian.Uint32(h[8:])
	p.next(atMessage, -length-4)
	return flags&cutNotify != 0
}

// next goes on to a state after skip bytes. It reports no input.
func (p *parser) next(s state, skip int64) bool {
	p.state, p.skip, p.have = s, skip, 0
	return false
}

// give gives up.
func (p *parser) give() bool {
	p.lost = true
	return true
}
