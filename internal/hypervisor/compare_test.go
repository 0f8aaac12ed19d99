package hypervisor

import (
	"strings"
	"testing"
)

func TestDefinitionsAreComparedByWhatTheyMean(t *testing.T) {
	const one = `<domain type='kvm' id="1"><name>x</name><metadata><n:i xmlns:n="http://n/">t</n:i></metadata><graphics type='vnc' passwd='hunter22'/></domain>`
	for title, c := range map[string]struct{ other, want string }{
		"the same":             {one, ""},
		"white space":          {strings.ReplaceAll(one, "><", ">\n  <"), ""},
		"a comment":            {"<!-- made by libvirt -->" + one, ""},
		"order of attributes":  {strings.Replace(one, `type='kvm' id="1"`, `id='1' type='kvm'`, 1), ""},
		"another prefix":       {strings.NewReplacer("n:i", "m:i", "xmlns:n", "xmlns:m").Replace(one), ""},
		"without the password": {strings.Replace(one, " passwd='hunter22'", "", 1), ""},
		"another text":         {strings.Replace(one, ">x<", ">y<", 1), "x and y"},
		"another attribute":    {strings.Replace(one, `id="1"`, `id="2"`, 1), `<domain id="1" type="kvm"> and <domain id="2" type="kvm">`},
		"another namespace":    {strings.Replace(one, "http://n/", "http://m/", 1), "<{http://n/}i> and <{http://m/}i>"},
		"an element more":      {strings.Replace(one, "</domain>", "<a/></domain>", 1), "</domain> and <a>"},
		"an element fewer":     {strings.Replace(one, "<name>x</name>", "", 1), "<name> and <metadata>"},
		"more afterwards":      {one + "<domain/>", "nothing and <domain>"},
	} {
		t.Run(title, func(t *testing.T) {
			if got, err := Difference(one, c.other); got != c.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
	if got, err := Difference(one+"<domain/>", one); got != "<domain> and nothing" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"", "<domain", "<a></b>"} {
		if got, err := Difference(one, bad); err == nil {
			t.Errorf("%q: got %q", bad, got)
		}
	}
}

func FuzzDefinition(f *testing.F) {
	for _, inner := range []string{
		"", "<os firmware='efi'><nvram>/v.fd</nvram></os>", "<os><varstore path='/v'/><loader type='pflash'>/c</loader></os>",
		"<metadata>" + novaMetadata("1.1", "<nova:owner><nova:project uuid='p1'/></nova:owner>") + "</metadata>",
		"<devices><disk><source protocol='rbd' name='a/b'/><target dev='vda'/></disk><tpm><backend type='emulator'/></tpm></devices>",
		"<!-- --><![CDATA[x]]>&lt;", `<!DOCTYPE d [<!ENTITY a "b">]>&a;`,
	} {
		f.Add(define(inner))
	}
	f.Fuzz(func(t *testing.T, text string) {
		definition, err := ParseDefinition(uuid, text)
		if err != nil {
			return
		}
		for _, path := range definition.Files {
			if !strings.HasPrefix(path, "/") {
				t.Errorf("a path that depends on the working folder: %q", path)
			}
		}
		// What is taken for a domain must be one that can be compared.
		if difference, err := Difference(text, text); difference != "" {
			t.Errorf("differs from itself: %q, %v", difference, err)
		}
	})
}
