package adminapi

import (
	"time"

	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// Filter selects sessions, as parameters of the list and as the filter of a batch.
type Filter struct {
	Kind             string           `query:"kind" json:"kind,omitempty" doc:"device or stream"`
	Status           []session.Status `query:"status,explode" json:"status,omitempty" doc:"Repeatable"`
	Q                string           `query:"q" json:"q,omitempty" doc:"Contains, any case: app, user, provision name, status label"`
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
	SilentSeconds    int              `query:"silent_seconds" json:"silent_seconds,omitempty" minimum:"0" doc:"Nothing heard from its device or host for so long"`
	History          bool             `query:"history" json:"history,omitempty" doc:"Listed and deleted ones"`
}

// query is the filter as the use cases take it; spans of time are counted back from now.
func (f *Filter) query(now time.Time) (store.SessionQuery, error) {
	q := store.SessionQuery{
		Kind: session.Kind(f.Kind), Statuses: f.Status, Q: f.Q, Username: f.Username, Email: f.Email,
		AppID: f.AppID, UserID: f.UserID, ProvisionID: f.ProvisionID, DeliveryMethodID: f.DeliveryMethodID,
		AgentID: f.DeviceID, History: f.History,
	}
	var e invalid.Error
	zone := time.UTC
	if f.TZ != "" {
		z, err := time.LoadLocation(f.TZ)
		if err != nil || f.TZ == "Local" {
			e.Add("tz", "must be a time zone, as Europe/Berlin")
		} else {
			zone = z
		}
	}
	q.From, q.To = e.Moment("from", f.From, zone, 0), e.Moment("to", f.To, zone, 1)
	if f.SilentSeconds > 0 {
		q.SilentSince = now.Add(-time.Duration(f.SilentSeconds) * time.Second)
	}
	if f.HostID != 0 {
		if f.DeviceID != 0 {
			e.Add("host_id", "cannot be combined with device_id")
		}
		q.AgentID = f.HostID
	}
	return q, e.Err()
}

type listInput struct {
	Filter
	Sort      string `query:"sort" default:"-id" doc:"A column, with - before it for descending"`
	PageSize  int    `query:"page_size" default:"50" minimum:"1" maximum:"500"`
	PageToken string `query:"page_token"`
}

func (in *listInput) query() (store.SessionQuery, error) {
	q, err := in.Filter.query(time.Now())
	q.Sort, q.PageSize, q.PageToken = store.Sort(in.Sort), in.PageSize, in.PageToken
	return q, err
}
