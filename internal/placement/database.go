package placement

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"nova-orphan/internal/osloconf"
)

// Database is Placement's own, of release 6.0 (Xena) or later. It is only read, and tells
// what the API would: no row that the API's inner joins leave out (placement
// objects/allocation.py _get_allocations_by_provider_id, _get_allocations_by_consumer_uuid,
// objects/resource_provider.py _get_all_by_filters_from_db).
type Database struct{ *sql.DB }

// DatabaseURL is [placement_database]connection of a placement.conf: a SQLAlchemy URL,
// which holds a password.
func DatabaseURL(conf string) (string, error) {
	config, err := osloconf.Load(conf)
	if err != nil {
		return "", err
	}
	connection, err := config.Get("placement_database", "connection")
	if err == nil && connection == "" {
		err = fmt.Errorf("find Placement's database: %s has no [placement_database]connection", conf)
	}
	return connection, err
}

// Survey reads all of Placement as of one moment. It has no Failures.
func (d Database) Survey(ctx context.Context) (*Survey, error) {
	b := newBuilder()
	if err := d.reading(ctx, func(tx *sql.Tx) error { return b.read(ctx, tx) }); err != nil {
		return nil, fmt.Errorf("read Placement's database: %w", err)
	}
	return b.survey(), nil
}

func (b *builder) read(ctx context.Context, tx *sql.Tx) error {
	providers, classes := map[int]uint32{}, map[int]uint32{}
	var id int
	var text string
	var one SurveyProvider
	const has = "EXISTS (SELECT * FROM resource_provider_traits r JOIN traits t ON t.id = r.trait_id" +
		" WHERE r.resource_provider_id = p.id AND t.name = ?)"
	err := query(ctx, tx, "SELECT p.id, p.uuid, COALESCE(p.name, ''), root.uuid, "+has+", "+has+
		" FROM resource_providers p JOIN resource_providers root ON root.id = p.root_provider_id", []any{sharingTrait, computeTrait},
		func() error {
			b.addProvider(one)
			providers[id] = b.place(one.UUID)
			return nil
		}, &id, &one.UUID, &one.Name, &one.Root, &one.Sharing, &one.Compute)
	if err != nil {
		return fmt.Errorf("read resource_providers: %w", err)
	}
	// The standard classes are in there as well (objects/resource_class.py _resource_classes_sync).
	err = query(ctx, tx, "SELECT id, name FROM resource_classes", nil, func() error {
		classes[id] = b.place(text)
		return nil
	}, &id, &text)
	if err != nil {
		return fmt.Errorf("read resource_classes: %w", err)
	}
	err = query(ctx, tx, "SELECT uuid FROM consumers", nil, func() error {
		b.places[text] = b.place(strings.ToLower(text))
		return nil
	}, &text)
	if err != nil {
		return fmt.Errorf("read consumers: %w", err)
	}
	var consumer sql.RawBytes
	var provider, class int
	var amount int32
	// The server would take three times as long to join them to the others.
	err = query(ctx, tx, "SELECT consumer_id, resource_provider_id, resource_class_id, used FROM allocations", nil, func() error {
		by, made := b.places[string(consumer)]
		on, listed := providers[provider]
		of, named := classes[class]
		switch {
		case !made || !listed: // no foreign key prevents it, and no API call shows or removes it
		case !named:
			return fmt.Errorf("resource_classes has no row %d, of which %s holds some", class, consumer)
		default:
			b.held = append(b.held, holding{by, on, of, amount})
		}
		return nil
	}, &consumer, &provider, &class, &amount)
	if err != nil {
		return fmt.Errorf("read allocations: %w", err)
	}
	return nil
}

// atOnce is how many consumers a statement asks for.
const atOnce = 1000

// Details is what the Client's is, of one moment; with an error there is none.
func (d Database) Details(ctx context.Context, consumers []string) (map[string]Allocation, error) {
	details, asked := map[string]Allocation{}, map[string]string{}
	for _, consumer := range consumers {
		details[consumer] = Allocation{Consumer: consumer, Providers: map[string]Resources{}}
		asked[strings.ToLower(consumer)] = consumer // as the database compares
	}
	err := d.reading(ctx, func(tx *sql.Tx) error {
		for some := range slices.Chunk(consumers, atOnce) {
			if err := readDetails(ctx, tx, some, details, asked); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %d consumers in Placement's database: %w", len(consumers), err)
	}
	return details, nil
}

func readDetails(ctx context.Context, tx *sql.Tx, consumers []string, details map[string]Allocation, asked map[string]string) error {
	args := make([]any, len(consumers))
	for i, consumer := range consumers {
		args[i] = consumer
	}
	var one Allocation
	var provider, class string
	var amount int
	// NULL is the type "unknown" (objects/consumer_type.py NULL_CONSUMER_TYPE_ALIAS).
	return query(ctx, tx, "SELECT c.uuid, c.generation, COALESCE(t.name, 'unknown'), j.external_id, u.external_id, p.uuid, r.name, a.used"+
		" FROM allocations a JOIN resource_providers p ON p.id = a.resource_provider_id JOIN consumers c ON c.uuid = a.consumer_id"+
		" JOIN projects j ON j.id = c.project_id JOIN users u ON u.id = c.user_id"+
		" JOIN resource_classes r ON r.id = a.resource_class_id LEFT JOIN consumer_types t ON t.id = c.consumer_type_id"+
		" WHERE a.consumer_id IN (?"+strings.Repeat(", ?", len(consumers)-1)+")", args, func() error {
		one.Consumer = asked[strings.ToLower(one.Consumer)]
		one.Providers = details[one.Consumer].Providers
		if one.Providers[provider] == nil {
			one.Providers[provider] = Resources{}
		}
		one.Providers[provider][class] = amount
		details[one.Consumer] = one
		return nil
	}, &one.Consumer, &one.Generation, &one.Type, &one.ProjectID, &one.UserID, &provider, &class, &amount)
}

// reading runs read in one consistent, read-only transaction.
func (d Database) reading(ctx context.Context, read func(*sql.Tx) error) error {
	tx, err := d.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return read(tx)
}

// query calls use for each row, once into has it.
func query(ctx context.Context, tx *sql.Tx, text string, args []any, use func() error, into ...any) error {
	rows, err := tx.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := use(); err != nil {
			return err
		}
	}
	return rows.Err()
}
