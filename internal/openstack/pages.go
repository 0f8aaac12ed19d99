package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/tidwall/gjson"
)

// Pages lists all that a service has under a path; see EachPage. An error has no part of the list.
func Pages[T any](
	ctx context.Context, service *gophercloud.ServiceClient, path string, query url.Values, id func(T) string,
) (all []T, err error) {
	if err = EachPage(ctx, service, path, query, id, func(page []T) { all = append(all, page...) }); err != nil {
		return nil, err
	}
	return all, nil
}

// EachPage reads all that a service has under a path, whatever it cuts its pages to: id is of
// one what the service takes as the marker before the next page.
//
// The link to the next page is not followed, only seen: behind a proxy it may name
// another host. Cinder gives links to attachments in no release, so that there only an
// empty page is the last.
func EachPage[T any](
	ctx context.Context, service *gophercloud.ServiceClient, path string, query url.Values, id func(T) string, do func(page []T),
) error {
	key := strings.TrimPrefix(strings.TrimSuffix(path, "/detail"), "os-")
	for {
		var answer json.RawMessage
		if _, err := service.Get(ctx, service.ServiceURL(path)+"?"+query.Encode(), &answer, nil); err != nil {
			return err
		}
		var page []T
		if list := gjson.GetBytes(answer, key); !list.IsArray() {
			return errors.New("the answer has no " + key)
		} else if err := json.Unmarshal([]byte(list.Raw), &page); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		for _, one := range page {
			if id(one) == "" {
				return errors.New("the answer has one of " + key + " without its id")
			}
		}
		do(page)
		links := gjson.GetManyBytes(answer, key+`_links.#(rel=="next")`, "next") // the second is Glance's
		if len(page) == 0 || key != "attachments" && !links[0].Exists() && !links[1].Exists() {
			return nil
		}
		last := id(page[len(page)-1])
		if last == query.Get("marker") {
			return fmt.Errorf("the page after %s does not go on", last)
		}
		query.Set("marker", last)
	}
}
