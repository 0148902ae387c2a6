{#
  In place of four macros of dbt-postgres, so that any name PostgreSQL takes can be the schema's.
  dbt-postgres looks a schema's relations up with ILIKE: `Air` would be taken to hold the tables of `air`, and a backslash in a
  name finds nothing. It also writes names into string literals as they are. profiles.yml doubles the double quotes of
  the schema's name for the places where dbt puts it between quotes; here, where it is compared, that is undone.
#}
{% macro literal(name) -%}
'{{ name | replace('""', '"') | replace("'", "''") }}'
{%- endmacro %}

{% macro postgres__list_schemas(database) %}
    {% call statement('list_schemas', fetch_result=True, auto_begin=False) %}
        select replace(nspname, '"', '""') from pg_catalog.pg_namespace
    {% endcall %}
    {{ return(load_result('list_schemas').table) }}
{% endmacro %}

{% macro postgres__list_relations_without_caching(schema_relation) %}
    {% call statement('list_relations_without_caching', fetch_result=True) %}
        select
            {{ literal(schema_relation.database) }} as database,
            class.relname as name,
            replace(namespace.nspname, '"', '""') as schema,
            case class.relkind when 'v' then 'view' when 'm' then 'materialized_view' else 'table' end as type
        from pg_catalog.pg_class as class
        inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
        where namespace.nspname = {{ literal(schema_relation.schema) }} and class.relkind in ('r', 'p', 'v', 'm')
    {% endcall %}
    {{ return(load_result('list_relations_without_caching').table) }}
{% endmacro %}

{% macro postgres__get_columns_in_relation(relation) %}
    {% call statement('get_columns_in_relation', fetch_result=True) %}
        select column_name, data_type, character_maximum_length, numeric_precision, numeric_scale
        from information_schema.columns
        where table_name = {{ literal(relation.identifier) }}
            {% if relation.schema %} and table_schema = {{ literal(relation.schema) }} {% endif %}
        order by ordinal_position
    {% endcall %}
    {{ return(sql_convert_columns_in_relation(load_result('get_columns_in_relation').table)) }}
{% endmacro %}

{#
  Which relation hangs on which other, so that dbt knows what a DROP CASCADE took along. dbt compares the names without case:
  beside a schema `air` with views in it, `Air` could not be built for the first time. Here nothing is to be known: the
  views hang on raw tables, which dbt never drops, and nothing that it makes hangs on another thing that it makes.
#}
{% macro postgres__get_relations() %}
    {% call statement('relations', fetch_result=True) %}
        select '' as dependent_schema, '' as dependent_name, '' as referenced_schema, '' as referenced_name where false
    {% endcall %}
    {{ return(load_result('relations').table) }}
{% endmacro %}
