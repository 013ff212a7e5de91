"""Faults to seed in copies of the embedded drivers, and the check of the suite that each must fail."""

from __future__ import annotations

from typing import Final, NamedTuple


class Mutant(NamedTuple):
    """A fault: a piece of a driver's text that is replaced by another.

    Attributes:
        file: The file, below ``divan/backends``.
        old: The text that is replaced; it stands there exactly once.
        new: What it is replaced by.
        check: The check that catches it; its name says the fault.
    """

    file: str
    old: str
    new: str
    check: str


_SQL: Final = "sqlite/sql.py"
_BACKEND: Final = "sqlite/backend.py"
_DOCUMENTS: Final = "sqlite/documents.py"
_BULK: Final = "sqlite/bulk.py"
_FILTERS: Final = "sqlite/filters.py"
_QUERIES: Final = "sqlite/queries.py"
_CONNECTIONS: Final = "sqlite/connections.py"
_MEMORY: Final = "memory.py"
_SHARED: Final = "sql.py"

MUTANTS: Final[dict[str, Mutant]] = {
    # One document
    "CreateOverwrites": Mutant(
        _SQL, 'insert = f"INSERT INTO', 'insert = f"INSERT OR REPLACE INTO', "test_create_refuses_a_taken_id"
    ),
    "TakenIdIsUntranslated": Mutant(
        _DOCUMENTS, "        if is_taken(error):", "        if False:", "test_create_refuses_a_taken_id"
    ),
    "GetMakesUpADocument": Mutant(
        _BULK,
        "    if not rows:\n        raise DocumentNotFound(document_id)",
        '    if not rows:\n        return Document((), document_id, "1")',
        "test_get_of_a_missing_document_raises",
    ),
    "DeleteOfNothingIsDone": Mutant(
        _BACKEND, "        if not deleted:", "        if False:", "test_delete_of_a_missing_document_raises"
    ),
    "DeleteTakesAll": Mutant(
        _SQL,
        'delete = f"DELETE FROM {table} WHERE id=?"',
        'delete = f"DELETE FROM {table} WHERE id>=substr(?,1,0)"',
        "test_delete_leaves_the_others",
    ),
    "ReplaceCreates": Mutant(
        _BACKEND, "        elif upsert:", "        elif True:", "test_replace_of_a_missing_document_creates_none"
    ),
    "PutCreatesNothing": Mutant(
        _BACKEND, "        elif upsert:", "        elif False:", "test_put_creates_a_missing_document"
    ),
    "ReplaceKeepsTheBody": Mutant(
        _SQL,
        'replace=f"{write} RETURNING rev"',
        'replace=f"{write.replace("body=?", "body=coalesce(body, ?)")} RETURNING rev"',
        "test_replace_writes_the_whole_document",
    ),
    "IdsAreFolded": Mutant(
        _DOCUMENTS,
        "return document_id, first_revision(), encode(data)",
        "return document_id.lower(), first_revision(), encode(data)",
        "test_id_works_through_a_documents_life[upper case]",
    ),
    "IdsAreStripped": Mutant(
        _DOCUMENTS,
        "return document_id, first_revision(), encode(data)",
        "return document_id.strip(), first_revision(), encode(data)",
        "test_id_works_through_a_documents_life[a trailing space]",
    ),
    "IdsAreLooselyMatched": Mutant(
        _SQL,
        'get=f"SELECT rev, body FROM {table} WHERE id=?"',
        'get=f"SELECT rev, body FROM {table} WHERE id LIKE ?"',
        "test_ids_are_all_different_documents",
    ),
    "OptionsAreAnybodys": Mutant(
        _BACKEND,
        "known_options: ClassVar[Mapping[str, Option | Reader] | None] = OPTIONS",
        'known_options: ClassVar[Mapping[str, Option | Reader] | None] = {**OPTIONS, "no_such_option": str}',
        "test_an_unknown_option_is_refused",
    ),
    # Updates
    "UpdateForgetsTheOthers": Mutant(
        _DOCUMENTS,
        "fields = apply_changes(read(document_id, row[0], row[1]), data, remove, increment, nested)",
        "fields = apply_changes({}, data, remove, increment, nested)",
        "test_update_keeps_the_other_fields",
    ),
    "RemoveIsIgnored": Mutant(
        _DOCUMENTS,
        "row[1]), data, remove, increment, nested)",
        "row[1]), data, (), increment, nested)",
        "test_remove_removes_a_field",
    ),
    "IncrementIsIgnored": Mutant(
        _DOCUMENTS,
        "row[1]), data, remove, increment, nested)",
        "row[1]), data, remove, {}, nested)",
        "test_increment_is_stored",
    ),
    "UpdateMakesUpADocument": Mutant(
        _DOCUMENTS,
        "        raise DocumentNotFound(document_id)\n    if rev is not None and",
        '        row = (1, "{}")\n    if rev is not None and',
        "test_update_of_a_missing_document_raises",
    ),
    "UpdateIsNotWritten": Mutant(
        _DOCUMENTS,
        "            writer.execute(sql.write, (body, document_id))",
        "            str(body)",
        "test_update_is_stored",
    ),
    "UpdateIsNotCommitted": Mutant(
        _CONNECTIONS, '    writer.execute("COMMIT")\n    return result', "    return result", "test_update_is_stored"
    ),
    "UpdateAnswersWithTheChanges": Mutant(
        _DOCUMENTS,
        "    return Document(fields, document_id, str(row[0] + 1))",
        "    return Document(data, document_id, str(row[0] + 1))",
        "test_update_returns_the_whole_document",
    ),
    "UpdateIsNotAtomic": Mutant(
        _BACKEND,
        "        return self._file.transaction(merge, self._sql, document_id, data, remove, increment, nested, rev)",
        "        import time\n\n        from divan.updates import apply_changes\n\n"
        "        found = self.get_document_for_id(document_id)\n"
        "        time.sleep(0.02)\n"
        "        return self.replace(document_id, apply_changes(found, data, remove, increment), rev)",
        "test_increments_add_up",
    ),
    # Revisions
    "UpdateForgetsTheRevision": Mutant(
        _DOCUMENTS,
        "    if rev is not None and rev != str(row[0]):",
        "    if False:",
        "test_a_write_with_an_old_revision_is_refused[update]",
    ),
    "ReplaceForgetsTheRevision": Mutant(
        _BACKEND,
        "self._write(sql.replace_at, (encode(data), document_id, rev), document_id, rev)",
        "self._write(sql.replace, (encode(data), document_id), document_id, None)",
        "test_a_write_with_an_old_revision_is_refused[replace]",
    ),
    "DeleteForgetsTheRevision": Mutant(
        _BACKEND,
        "self._file.write(change, self._sql.delete_at, (document_id, rev))",
        "self._file.write(change, self._sql.delete, (document_id,))",
        "test_a_write_with_an_old_revision_is_refused[delete]",
    ),
    "RevisionsStay": Mutant(
        _SQL,
        "SET body=?, rev=rev+1 WHERE",
        "SET body=? WHERE",
        "test_get_tells_the_revision_that_the_write_told[an update]",
    ),
    "RevisionsStayOnPut": Mutant(
        _SQL,
        "SET body=excluded.body, rev=rev+1 RETURNING",
        "SET body=excluded.body RETURNING",
        "test_a_write_makes_a_new_revision[a put]",
    ),
    "RevisionsAreToldLate": Mutant(
        _DOCUMENTS,
        "    return Document(fields, document_id, str(row[0] + 1))",
        "    return Document(fields, document_id, str(row[0]))",
        "test_get_tells_the_revision_that_the_write_told[an update]",
    ),
    "RevisionsBeginAtOne": Mutant(
        _DOCUMENTS,
        "return document_id, first_revision(), encode(data)",
        "return document_id, 1, encode(data)",
        "test_a_revision_from_before_a_deletion_does_not_come_back[update]",
    ),
    "ConflictsAreMissingDocuments": Mutant(
        _BACKEND,
        "        if rev is not None and self._file.fetch(self._sql.get, (document_id,)):",
        "        if False:",
        "test_a_write_with_an_old_revision_is_refused[replace]",
    ),
    "ListingsTellNoRevision": Mutant(
        _QUERIES,
        "yield Document((), row[0], str(row[1]))",
        'yield Document((), row[0], "0")',
        "test_a_projection_tells_the_revision",
    ),
    # Many documents
    "TakenIdsGoUnreported": Mutant(
        _BULK,
        "        made[index] = DocumentExists(rows[index][0])",
        "        pass",
        "test_create_many_reports_a_taken_id",
    ),
    "OneTakenIdFailsAll": Mutant(
        _BULK,
        "    return [index for index, row in enumerate(rows) if not writer.execute(sql.insert_or_skip, row).rowcount]",
        "    return list(range(len(rows)))",
        "test_create_many_stores_the_items_around_a_failed_one",
    ),
    "GetManyIsSorted": Mutant(
        _BULK,
        "in found else None for document_id in document_ids]",
        "in found else None for document_id in sorted(document_ids)]",
        "test_get_many_returns_the_documents_in_order",
    ),
    "GetManyGivesEachOnce": Mutant(
        _BULK,
        "attempt(read, *found[document_id])",
        "attempt(read, *found.pop(document_id))",
        "test_get_many_takes_one_id_twice",
    ),
    "GetManyLeavesOutMissing": Mutant(
        _BULK,
        "    return [attempt(read, *found[document_id]) if document_id in found else None for document_id in document_ids]",
        "    return [attempt(read, *found[document_id]) for document_id in document_ids if document_id in found]",
        "test_get_many_returns_none_for_a_missing_document",
    ),
    "OneMissingDocumentFailsAllUpdates": Mutant(
        _BULK,
        "[attempt(merge, writer, sql, *change) for change in changes]",
        "[merge(writer, sql, *change) for change in changes]",
        "test_update_many_reports_a_missing_document",
    ),
    "UpdateManyMergesInAnyOrder": Mutant(
        _BULK,
        "[attempt(merge, writer, sql, *change) for change in changes]",
        "[attempt(merge, writer, sql, *change) for change in reversed(changes)][::-1]",
        "test_update_many_applies_two_updates_of_one_document_in_order",
    ),
    "DeleteManyReportsNothing": Mutant(
        _BULK,
        "None if writer.execute(sql.delete, (document_id,)).rowcount else DocumentNotFound(document_id)",
        "None if writer.execute(sql.delete, (document_id,)).rowcount else None",
        "test_delete_many_reports_a_missing_document",
    ),
    # Filters
    "OneIsTrue": Mutant(
        _SHARED, "else 2 if value.__class__ is bool else 3", "else 3", "test_query[$eq tells true from 1]"
    ),
    "NeForgetsMissing": Mutant(
        _SHARED,
        'return f"NOT {self._equal(path, value)}"',
        'return f"({self.rank(path)}>0 AND NOT {self._equal(path, value)})"',
        "test_query[$ne matches other types and missing]",
    ),
    "NinForgetsMissing": Mutant(
        _SHARED,
        'return f"NOT {self._in(path, value)}"',
        'return f"({self.rank(path)}>0 AND NOT {self._in(path, value)})"',
        "test_query[$nin matches the rest]",
    ),
    "NullIsMissing": Mutant(
        _SHARED,
        'return f"{self.rank(path)}>0" if value else f"{self.rank(path)}=0"',
        'return f"{self.rank(path)}>1" if value else f"{self.rank(path)}<2"',
        "test_query[$exists true matches null]",
    ),
    "GtIsGte": Mutant(_SHARED, '{"$gt": ">",', '{"$gt": ">=",', "test_query[$gt compares numbers]"),
    "LtIsLte": Mutant(_SHARED, '"$lt": "<",', '"$lt": "<=",', "test_query[$lt compares numbers]"),
    "LteIsLt": Mutant(_SHARED, '"$lte": "<="}', '"$lte": "<"}', "test_query[$lte compares numbers]"),
    "InForgetsNull": Mutant(
        _SHARED,
        "                parts = [self._equal(path, None)]",
        "                parts = []",
        "test_query[$in matches equal values]",
    ),
    "AllTakesTheFirst": Mutant(
        _FILTERS,
        'for value in values)})"',
        'for value in values[:1])})"',
        "test_query[$all matches in any order]",
    ),
    "SizeIsAtLeast": Mutant(
        _FILTERS,
        "json_array_length(body,{json_path(path)})=?",
        "json_array_length(body,{json_path(path)})>=?",
        "test_query[$size counts items]",
    ),
    "ContainsFoldsCase": Mutant(
        _FILTERS,
        "instr({value_sql(path)},?)>0",
        "instr(lower({value_sql(path)}),?)>0",
        "test_query[$contains tells upper case from lower]",
    ),
    "PrefixHasNoEnd": Mutant(
        _SHARED,
        "return begins if end is None else",
        "return begins if end is not None else",
        "test_query[$prefix finds how a string begins]",
    ),
    "GteForgetsNull": Mutant(
        _SHARED,
        'return f"({self.rank(path)}=1)" if op in ("$gte", "$lte") else self.false',
        "return self.false",
        "test_query[$gte null matches null]",
    ),
    "OrIsAnd": Mutant(
        _SHARED,
        "({' OR '.join(map(self.write, node.items))})",
        "({' AND '.join(map(self.write, node.items))})",
        "test_query[$or needs one]",
    ),
    "NotIsNothing": Mutant(
        _SHARED,
        'return f"NOT ({self.write(node.item)})"',
        'return f"({self.write(node.item)})"',
        "test_query[$not turns a filter round]",
    ),
    "ObjectsAreNotCompared": Mutant(
        _QUERIES,
        "    matches = compile_matcher(plan.residual) if plan.residual.items else None",
        "    matches = None",
        "test_query[$eq compares an object whole]",
    ),
    "IdsAreNotCompared": Mutant(
        _FILTERS,
        'return f"({rank_sql(path)}={kind} AND {value_sql(path)}{operator}?)"',
        "return f\"({rank_sql(path)}={kind} AND {value_sql(path) if path != ID_PATH else 'lower(id)'}{operator}?)\"",
        "test_a_filter_asks_for_the_id[$gt]",
    ),
    # Sorts, windows, projections
    "TiesAreBrokenBackwards": Mutant(
        _FILTERS,
        "    return f\" ORDER BY {', '.join((*parts, 'id'))}\"",
        "    return f\" ORDER BY {', '.join((*parts, 'id DESC'))}\"",
        "test_sort_breaks_ties_by_id[ascending]",
    ),
    "TypesAreSortedTogether": Mutant(
        _FILTERS,
        '            parts.append(f"{rank_sql(key.path)}{direction}")',
        "            pass",
        "test_sort_puts_missing_first_then_null",
    ),
    "DescendingIsIgnored": Mutant(
        _FILTERS, '" DESC" if key.descending else ""', '" DESC" if False else ""', "test_sort_descends"
    ),
    "ListsAreSortedAsText": Mutant(
        _QUERIES,
        "return kind is list or kind is dict or (kind is float and not is_ordinary(value))",
        "return kind is float and not is_ordinary(value)",
        "test_generated_documents_sort_as_the_reference_sorts[list]",
    ),
    "LimitIsIgnored": Mutant(
        _FILTERS,
        "bound = -1 if limit is None else min(limit, INT_MAX)",
        "bound = -1",
        "test_limit_without_a_sort_finds_so_many",
    ),
    "LimitZeroIsNoLimit": Mutant(
        _QUERIES,
        "    if limit == 0:\n        return",
        "    if limit == 0:\n        limit = None",
        "test_limit_zero_finds_nothing",
    ),
    "SkipIsIgnored": Mutant(
        _FILTERS,
        "(*self.parameters, bound, min(skip, INT_MAX))",
        "(*self.parameters, bound, 0)",
        "test_skip_leaves_out_the_first",
    ),
    "CountTakesAll": Mutant(
        _QUERIES,
        "    plan = plan_query(file.table, where.tree, ())\n    if not",
        "    plan = plan_query(file.table, parse(None).tree, ())\n    if not",
        "test_count_counts_what_matches",
    ),
    "FieldsAreIgnored": Mutant(
        _QUERIES,
        "yield Document(project(document, fields), document.id, document.rev)",
        "yield document",
        "test_fields_of_many_documents_are_kept",
    ),
    # Indexes and explanations
    "ExplainSeesNoScan": Mutant(
        _QUERIES,
        'scan=any(line.startswith(f"SCAN {file.table}") for line in lines)',
        "scan=False",
        "test_a_query_that_nothing_serves_is_explained_as_a_scan",
    ),
    "ExplainForgetsTheRest": Mutant(
        _QUERIES,
        "pushed=dict(Query(plan.pushed)),\n        residual=dict(Query(plan.residual)),",
        "pushed={},\n        residual={},",
        "test_explain_accounts_for_the_whole_filter",
    ),
    "IndexesHaveNewNames": Mutant(
        _SQL,
        "name = f\"{table}_by_{','.join(fields)}\"",
        "name = f\"{table}_by_{','.join(fields)}{__import__('uuid').uuid4().hex}\"",
        "test_an_index_can_be_asked_for_twice",
    ),
    # Values
    "WholeFloatsAreInts": Mutant(
        _DOCUMENTS,
        "return lambda value: join(write(value, 0))",
        'return lambda value: join(write(value, 0)).replace(".0}", "}").replace(".0,", ",")',
        "test_number_is_kept[one as a float]",
    ),
    "TextIsComposed": Mutant(
        _DOCUMENTS,
        "return lambda value: join(write(value, 0))",
        'return lambda value: __import__("unicodedata").normalize("NFC", join(write(value, 0)))',
        "test_text_is_kept[a decomposed accent]",
    ),
    "NullsAreLost": Mutant(
        _DOCUMENTS,
        "return Document(fields, document_id, str(rev))",
        "return Document({name: fields[name] for name in fields if fields[name] is not None}, document_id, str(rev))",
        "test_create_keeps_a_falsy_value[null]",
    ),
    # Open finds, and many at once
    "FindsHoldConnections": Mutant(
        _CONNECTIONS,
        "        try:\n            cursor: sqlite3.Cursor = self.readers.pop()\n        except IndexError:\n            return self._new_cursor()\n        return cursor",
        "        if len(self._users) > 20:\n"
        '            raise ConnectionFailed("no connection is free")\n'
        "        return self.readers.pop() if self.readers else self._new_cursor()",
        "test_25_finds_can_be_left_half_read",
    ),
    "MemoryHandsOutItsOwn": Mutant(
        _MEMORY,
        "    return Document(copied(entry[1]), document_id, str(entry[0]))",
        "    return Document(entry[1], document_id, str(entry[0]))",
        "test_two_fetches_share_no_list",
    ),
    "MemoryFindsWhatComesMeanwhile": Mutant(
        _MEMORY,
        "entries = self.db.copy()  # a snapshot, in one step",
        "entries = self.db",
        "test_the_store_can_be_written_to_while_a_find_is_read",
    ),
    "MemoryIgnoresTheRevision": Mutant(
        _MEMORY,
        "        if rev is not None and rev != str(entry[0]):",
        "        if False:",
        "test_a_revision_that_never_was_is_refused[a word]",
    ),
}
"""Name of a class of the suite → the fault in its driver."""
