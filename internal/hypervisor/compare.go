package hypervisor

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Difference names the first thing in which two definitions differ, or is empty
// where libvirt means the same by both: white space, comments, the order of
// attributes and namespace prefixes do not count. Nor do the passwords of
// displays, which a read-only connection does not tell.
func Difference(a, b string) (string, error) {
	left, err := canonical(a)
	if err != nil {
		return "", err
	}
	right, err := canonical(b)
	if err != nil {
		return "", err
	}
	left, right = append(left, "nothing"), append(right, "nothing")
	for i := range min(len(left), len(right)) {
		if left[i] != right[i] {
			return left[i] + " and " + right[i], nil
		}
	}
	return "", nil
}

// canonical lists a definition's elements and texts in their order.
func canonical(text string) (items []string, err error) {
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := decoder.Token()
		switch {
		case errors.Is(err, io.EOF) && len(items) > 0:
			return items, nil
		case err != nil:
			return nil, fmt.Errorf("compare definitions: %w", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			items = append(items, element(token))
		case xml.EndElement:
			items = append(items, "</"+token.Name.Local+">")
		case xml.CharData:
			if text := strings.TrimSpace(string(token)); text != "" {
				items = append(items, text)
			}
		}
	}
}

func element(start xml.StartElement) string {
	var attributes []string
	for _, attribute := range start.Attr {
		isPassword := start.Name.Local == "graphics" && attribute.Name.Local == "passwd"
		isNamespace := attribute.Name.Space == "xmlns" || attribute.Name.Local == "xmlns"
		if !isPassword && !isNamespace {
			attributes = append(attributes, fmt.Sprintf(" %s=%q", qualified(attribute.Name), attribute.Value))
		}
	}
	slices.Sort(attributes)
	return "<" + qualified(start.Name) + strings.Join(attributes, "") + ">"
}

func qualified(name xml.Name) string {
	if name.Space == "" {
		return name.Local
	}
	return "{" + name.Space + "}" + name.Local
}
