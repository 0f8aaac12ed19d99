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

// Pages lists all that a service has under a path, whatever it cuts its pages to: id is of
// one what the service takes as the marker before the next page. An error has no part of the list.
//
// The link to the next page is not followed, only seen: behind a proxy it may name
// another host. Cinder gives links to attachments in no release, so that there only an
// empty page is the last.
func Pages[T any](
	ctx context.Context, service *gophercloud.ServiceClient, path string, query url.Values, id func(T) string,
) (all []T, err error) {
	key := strings.TrimPrefix(strings.TrimSuffix(path, "/detail"), "os-")
	for {
		var answer json.RawMessage
		if _, err := service.Get(ctx, service.ServiceURL(path)+"?"+query.Encode(), &answer, nil); err != nil {
			return nil, err
		}
		var page []T
		if list := gjson.GetBytes(answer, key); !list.IsArray() {
			return nil, errors.New("the answer has no " + key)
		} else if err := json.Unmarshal([]byte(list.Raw), &page); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		for _, one := range page {
			if id(one) == "" {
				return nil, errors.New("the answer has one of " + key + " without its id")
			}
		}
		all = append(all, page...)
		links := gjson.GetManyBytes(answer, key+`_links.#(rel=="next")`, "next") // the second is Glance's
		if len(page) == 0 || key != "attachments" && !links[0].Exists() && !links[1].Exists() {
			return all, nil
		}
		last := id(page[len(page)-1])
		if last == query.Get("marker") {
			return nil, fmt.Errorf("the page after %s does not go on", last)
		}
		query.Set("marker", last)
	}
}
