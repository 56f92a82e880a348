// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store"
)

// errAgain marks what is worth another try under the same id.
var errAgain = errors.New("not answered")

// refused is an answer that may be another one the next time.
type refused struct {
	status int
	says   string
}

func (e *refused) Error() string { return fmt.Sprintf("%s: %s", errAgain, e.says) }
func (*refused) Unwrap() error   { return errAgain }

// statusOf is the HTTP status of a try that failed; 0: there was no answer.
func statusOf(err error) int {
	if e := (*refused)(nil); errors.As(err, &e) {
		return e.status
	}
	return 0
}

// client talks to one store.
type client struct {
	base string
	http *http.Client
}

func newClient(target string, h *http.Client) *client {
	return &client{base: strings.TrimRight(target, "/"), http: h}
}

// transact sends a transaction once. Errors that wrap errAgain may be answered
// differently the next time.
func (c *client) transact(ctx context.Context, t store.Transaction) (store.Result, error) {
	var r store.Result
	body, err := json.Marshal(t)
	if err != nil {
		return r, err
	}
	return r, c.call(ctx, http.MethodPost, "/v1/transactions", body, &r)
}

// tables is the answer to GET /v1/tables.
type tables struct {
	Writer string            `json:"writer"`
	Prefix string            `json:"prefix"`
	Tables []store.TableInfo `json:"tables"`
}

func (c *client) tables(ctx context.Context) (tables, error) {
	var t tables
	return t, c.call(ctx, http.MethodGet, "/v1/tables", nil, &t)
}

func (c *client) call(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errAgain, err)
	case res.StatusCode == http.StatusOK:
		return json.Unmarshal(raw, into)
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return &refused{res.StatusCode, fmt.Sprintf("%s: %s", res.Status, bytes.TrimSpace(raw))}
	default:
		return fmt.Errorf("%s %s: %s: %s", method, req.URL, res.Status, bytes.TrimSpace(raw))
	}
}

// APIRows yields every row of every table of the stores behind o.Targets. It is a
// picture of one moment only when nobody writes. What is not answered is asked
// again for o.GiveUp: a pod that has just come back may not have its name yet.
func APIRows(ctx context.Context, o Options) iter.Seq2[store.DumpRow, error] {
	o = o.withDefaults()
	read := func(f func() error) error { return o.again(ctx, func() {}, f) }
	return func(yield func(store.DumpRow, error) bool) {
		for _, target := range o.Targets {
			c := newClient(target, o.HTTP)
			var t tables
			if err := read(func() (err error) { t, err = c.tables(ctx); return err }); err != nil {
				yield(store.DumpRow{}, fmt.Errorf("%s: %w", target, err))
				return
			}
			for _, info := range t.Tables {
				if !rows(info, yield, func(after string) (page store.Page, err error) {
					err = read(func() (err error) { page, err = c.page(ctx, info.Name, after); return err })
					return page, err
				}) {
					return
				}
			}
		}
	}
}

func (c *client) page(ctx context.Context, table, after string) (page store.Page, err error) {
	path := "/v1/tables/" + table + "/rows?limit=10000&after=" + url.QueryEscape(after)
	return page, c.call(ctx, http.MethodGet, path, nil, &page)
}

// rows yields the rows of one table, page by page. It reports whether to go on.
func rows(info store.TableInfo, yield func(store.DumpRow, error) bool, read func(after string) (store.Page, error)) bool {
	for after := ""; ; {
		page, err := read(after)
		if err != nil {
			yield(store.DumpRow{}, err)
			return false
		}
		for _, r := range page.Rows {
			if !yield(store.DumpRow{Table: info.ID, Key: r.Key, Row: r.Row}, nil) {
				return false
			}
		}
		if after = page.Next; after == "" {
			return true
		}
	}
}

// DumpRows yields the rows of what salvor store dump has printed.
func DumpRows(r io.Reader) iter.Seq2[store.DumpRow, error] {
	return func(yield func(store.DumpRow, error) bool) {
		dec := json.NewDecoder(r)
		for {
			var row store.DumpRow
			err := dec.Decode(&row)
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil && (row.Table == "" || row.Row == nil) {
				err = errors.New("a line is no row of a dump")
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// tableID returns the id of the i-th table that a load writes.
func tableID(prefix string, i int) manifest.TableID {
	return manifest.TableID(prefix + tableName(i))
}

func tableName(i int) string { return fmt.Sprintf("load%d", i) }
