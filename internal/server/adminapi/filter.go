package adminapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"leasehold/internal/calendar"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// Filter selects sessions, as parameters of the list and as the filter of a batch.
type Filter struct {
	Kind             string           `query:"kind" json:"kind,omitempty" doc:"device or stream"`
	Status           []session.Status `query:"status,explode" json:"status,omitempty" doc:"Repeatable"`
	Q                string           `query:"q" json:"q,omitempty" doc:"Contains, any case: name of the app, user, provision, device or host, status label; or is the session's number"`
	Username         string           `query:"username" json:"username,omitempty" doc:"Contains, any case: user name or display name"`
	Email            string           `query:"email" json:"email,omitempty" doc:"Contains, any case"`
	AppID            int64            `query:"app_id" json:"app_id,omitempty" minimum:"1"`
	UserID           int64            `query:"user_id" json:"user_id,omitempty" minimum:"1"`
	ProvisionID      int64            `query:"provision_id" json:"provision_id,omitempty" minimum:"1"`
	DeliveryMethodID int64            `query:"delivery_method_id" json:"delivery_method_id,omitempty" minimum:"1"`
	DeviceID         int64            `query:"device_id" json:"device_id,omitempty" minimum:"1"`
	HostID           int64            `query:"host_id" json:"host_id,omitempty" minimum:"1"`
	From             string           `query:"from" json:"from,omitempty" doc:"Started at or after: a date or an RFC 3339 time"`
	To               string           `query:"to" json:"to,omitempty" doc:"Started before this time, or on this date at the latest"`
	TZ               string           `query:"tz" json:"tz,omitempty" doc:"Time zone of dates, as Europe/Berlin; UTC by default"`
	OlderSeconds     int64            `query:"older_seconds" json:"older_seconds,omitempty" minimum:"1" maximum:"3153600000" doc:"Started so long ago, or longer"`
	SilentSeconds    int64            `query:"silent_seconds" json:"silent_seconds,omitempty" minimum:"1" maximum:"3153600000" doc:"Nothing heard from its device or host for so long"`
	History          bool             `query:"history" json:"history,omitempty" doc:"Listed and deleted ones"`

	bad invalid.Error // what Resolve tells of
}

// MaxSpan is the longest span that a filter counts back, in seconds: 100 years of 365 days.
const MaxSpan = 100 * 365 * 86400

// UnmarshalJSON notes what is null: passed over, it would match more than was meant.
func (f *Filter) UnmarshalJSON(b []byte) error {
	type plain Filter
	var typ *json.UnmarshalTypeError
	if err := json.Unmarshal(b, (*plain)(f)); errors.As(err, &typ) && typ.Field != "" {
		f.bad.Add(typ.Field, outOfRange)
	} else if err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if string(fields[name]) == "null" {
			f.bad.Add(name, "must not be null; leave it out to match any")
		}
	}
	return nil
}

// Resolve names the fields that cannot be taken.
func (f *Filter) Resolve(_ huma.Context, at *huma.PathBuffer) (errs []error) {
	for _, b := range f.bad {
		errs = append(errs, &huma.ErrorDetail{Location: at.With(b.Name), Message: b.Message})
	}
	return errs
}

// Values is the filter as the list's parameters.
func (f *Filter) Values() url.Values {
	v := url.Values{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Filter]()) {
		name, _, _ := strings.Cut(field.Tag.Get("query"), ",")
		value := reflect.ValueOf(f).Elem().FieldByIndex(field.Index)
		switch {
		case name == "" || value.IsZero():
		case value.Kind() == reflect.Slice:
			for i := range value.Len() {
				v.Add(name, fmt.Sprint(value.Index(i)))
			}
		default:
			v.Set(name, fmt.Sprint(value))
		}
	}
	return v
}

// query is the filter as the use cases take it; spans of time are counted back from now.
func (f *Filter) query(now time.Time) (store.SessionQuery, error) {
	q := store.SessionQuery{
		Kind: session.Kind(f.Kind), Statuses: f.Status, Q: f.Q, Username: f.Username, Email: f.Email,
		AppID: f.AppID, UserID: f.UserID, ProvisionID: f.ProvisionID, DeliveryMethodID: f.DeliveryMethodID,
		History: f.History,
	}
	var e invalid.Error
	zone := time.UTC
	if f.TZ != "" {
		z, err := calendar.Zone(f.TZ)
		if err != nil {
			e.Add("tz", "must be a time zone, as Europe/Berlin")
		} else {
			zone = z
		}
	}
	q.From, q.To = e.Period(f.From, f.To, zone)
	if f.OlderSeconds > 0 {
		if before := calendar.Clamp(now.Add(-time.Duration(f.OlderSeconds) * time.Second)); q.To.IsZero() || before.Before(q.To) {
			q.To = before
		}
	}
	if f.SilentSeconds > 0 {
		q.SilentSince = calendar.Clamp(now.Add(-time.Duration(f.SilentSeconds) * time.Second))
	}
	// A device is no host, though both are agents and numbered together.
	q.Kind = ofKind(&e, "device_id", f.DeviceID, q.Kind, session.Device)
	q.Kind = ofKind(&e, "host_id", f.HostID, q.Kind, session.Stream)
	q.AgentID = cmp.Or(f.DeviceID, f.HostID)
	return q, e.Err()
}

// ofKind is the kind of the sessions of an agent, if one is given.
func ofKind(e *invalid.Error, field string, agent int64, kind, its session.Kind) session.Kind {
	if agent == 0 {
		return kind
	}
	if kind != "" && kind != its {
		e.Add(field, "names an agent of another kind of session than the rest of the filter")
	}
	return its
}

// sortKey is what a list of sessions is sorted by.
type sortKey string

// Schema names every key in both directions.
func (sortKey) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, key := range store.SortKeys {
		s.Enum = append(s.Enum, key, "-"+key)
	}
	return s
}

type listInput struct {
	Filter
	Sort      sortKey `query:"sort" default:"-id" doc:"A column, with - before it for descending. A duration is that at the moment of the first page, also on the pages that its tokens lead to"`
	PageSize  int     `query:"page_size" default:"50" minimum:"1" maximum:"500"`
	PageToken string  `query:"page_token"`
}

// query is the list asked for. Spans of time count back from asOf, the moment of its first
// page: the pages after it keep that in their tokens, since counted back from another
// moment it would be another list.
func (in *listInput) query(now time.Time) (q store.SessionQuery, asOf time.Time, err error) {
	asOf, token := now.UTC().Truncate(time.Second), in.PageToken
	if in.spans() && token != "" {
		at, rest, ok := strings.Cut(token, ".")
		n, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil {
			return q, asOf, store.ErrBadPageToken
		}
		if asOf, ok = calendar.Moment(time.Unix(n, 0)); !ok {
			return q, asOf, store.ErrBadPageToken
		}
		token = rest
	}
	q, err = in.Filter.query(asOf)
	q.Sort, q.PageSize, q.PageToken = store.Sort(in.Sort), in.PageSize, token
	return q, asOf, err
}

// next is the token of the page after this one.
func (in *listInput) next(token string, asOf time.Time) string {
	if token == "" || !in.spans() {
		return token
	}
	return strconv.FormatInt(asOf.Unix(), 10) + "." + token
}

// spans reports whether the filter counts back from a moment.
func (f *Filter) spans() bool { return f.OlderSeconds != 0 || f.SilentSeconds != 0 }
