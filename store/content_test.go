// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"

	"github.com/salvor-io/salvor/store"
)

func put(table, key, value string) store.Statement {
	return store.Statement{Op: store.OpPut, Table: table, Key: key, Row: row(value)}
}

func row(value string) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"v":%q}`, value)) }

func del(table, key string) store.Statement {
	return store.Statement{Op: store.OpDelete, Table: table, Key: key}
}

func get(table, key string) store.Statement {
	return store.Statement{Op: store.OpGet, Table: table, Key: key}
}

// content is tables, keys and rows. A table without rows is not in it.
type content map[string]map[string]string

func (c content) set(table, key, row string) {
	if c[table] == nil {
		c[table] = map[string]string{}
	}
	c[table][key] = row
}

func (c content) unset(table, key string) {
	delete(c[table], key)
	if len(c[table]) == 0 {
		delete(c, table)
	}
}

func (c content) apply(statements ...store.Statement) {
	for _, s := range statements {
		switch s.Op {
		case store.OpPut:
			c.set(s.Table, s.Key, string(s.Row))
		case store.OpDelete:
			c.unset(s.Table, s.Key)
		}
	}
}

func (c content) clone() content {
	out := content{}
	for t, rows := range c {
		for k, v := range rows {
			out.set(t, k, v)
		}
	}
	return out
}

// rows reads everything through the API.
func (p *process) rows() content {
	p.w.Helper()
	var list struct{ Tables []store.TableInfo }
	p.getJSON("/v1/tables", &list)
	c := content{}
	for _, t := range list.Tables {
		for after, n := "", 0; ; {
			var page store.Page
			p.getJSON("/v1/tables/"+t.Name+"/rows?limit=3&after="+url.QueryEscape(after), &page)
			for _, r := range page.Rows {
				c.set(t.Name, r.Key, string(r.Row))
				n++
			}
			if after = page.Next; after == "" {
				if n != t.Rows {
					p.w.Fatalf("table %s lists %d rows and says %d", t.Name, n, t.Rows)
				}
				break
			}
		}
	}
	return c
}

func (p *process) getJSON(path string, into any) {
	p.w.Helper()
	res := p.call("GET", path, "")
	if res.Code != http.StatusOK {
		p.w.Fatalf("GET %s: %d %s", path, res.Code, res.Body)
	}
	if err := json.Unmarshal(res.Body.Bytes(), into); err != nil {
		p.w.Fatalf("GET %s: %v", path, err)
	}
}

func (p *process) call(method, path, body string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	p.Handler().ServeHTTP(rec, httptest.NewRequest(method, path, strings.NewReader(body)))
	return rec
}

// dump reads everything from the root, as anybody can.
func (w *world) dump() content {
	w.Helper()
	c, err := w.tryDump()
	if err != nil {
		w.Fatalf("dump: %v", err)
	}
	return c
}

func (w *world) tryDump() (content, error) {
	d, err := store.OpenDump(context.Background(), w.root, newID)
	if err != nil {
		return nil, err
	}
	c := content{}
	for r, err := range d.Rows(context.Background()) {
		if err != nil {
			return nil, err
		}
		c.set(strings.TrimPrefix(string(r.Table), "ledger-0."), r.Key, string(r.Row))
	}
	return c, nil
}

func (w *world) same(what string, got, want content) {
	w.Helper()
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		w.Fatalf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}
