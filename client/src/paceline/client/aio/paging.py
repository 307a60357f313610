"""Paginators on asyncio: botocore's own, with ``async for``."""

from collections.abc import AsyncIterator
from typing import Any

import jmespath  # type: ignore[import-untyped]
from botocore.exceptions import PaginationError
from botocore.paginate import PageIterator, Paginator
from botocore.utils import merge_dicts, set_value_from_jmespath

from paceline.types import Result

_PageIterator: Any = PageIterator  # whose stubs leave out what a subclass needs
_Paginator: Any = Paginator


class AsyncPageIterator(_PageIterator):  # type: ignore[misc]
    """botocore's loop over pages, awaiting each. It is shared with no other iteration."""

    def __iter__(self) -> Any:
        raise TypeError("an AsyncClient's pages are asked for by 'async for'")

    async def __aiter__(self) -> AsyncIterator[Result]:
        kwargs = self._op_kwargs
        previous: dict[str, Any] | None = None
        token = dict.fromkeys(self._input_token)
        if self._starting_token is not None:
            token = self._parse_starting_token()[0]
        total_items = 0
        first = True
        primary_key = self.result_keys[0]
        starting_truncation = 0
        self._inject_starting_params(kwargs)
        while True:
            response: Result = await self._method(**kwargs)
            parsed = self._extract_parsed_response(response)
            if first:
                if self._starting_token is not None:
                    starting_truncation = self._handle_first_request(
                        parsed, primary_key, starting_truncation
                    )
                first = False
                self._record_non_aggregate_key_values(parsed)
            else:
                starting_truncation = 0
            current = primary_key.search(parsed) or []
            count = len(current)
            truncate = total_items + count - self._max_items if self._max_items is not None else 0
            if truncate > 0:
                self._truncate_response(parsed, primary_key, truncate, starting_truncation, token)
                yield response
                return
            yield response
            total_items += count
            token = self._get_next_token(parsed)
            if all(part is None for part in token.values()):
                return
            if self._max_items is not None and total_items == self._max_items:
                self.resume_token = token
                return
            if previous is not None and previous == token:
                raise PaginationError(message=f"The same next token was received twice: {token}")
            self._inject_token_into_kwargs(kwargs, token)
            previous = token

    async def search(self, expression: str) -> AsyncIterator[Any]:
        """What a JMESPath expression finds in each page; elements of lists one by one."""
        compiled = jmespath.compile(expression)
        async for page in self:
            found = compiled.search(page)
            for one in found if isinstance(found, list) else (found,):
                yield one

    async def build_full_result(self) -> Result:
        """All pages as one result, as botocore's method of that name gives it."""
        complete: dict[str, Any] = {}
        async for page in self:
            for expression in self.result_keys:
                found = expression.search(page)
                if found is None:
                    continue
                existing = expression.search(complete)
                if existing is None:
                    set_value_from_jmespath(complete, expression.expression, found)
                elif isinstance(found, list):
                    existing.extend(found)
                else:
                    total = existing + found
                    set_value_from_jmespath(complete, expression.expression, total)
        merge_dicts(complete, self.non_aggregate_part)
        if self.resume_token is not None:
            complete["NextToken"] = self.resume_token
        return complete


class AsyncPaginator(_Paginator):  # type: ignore[misc]
    """``async for page in paginator.paginate(...)``; parameters as botocore's."""

    PAGE_ITERATOR_CLS = AsyncPageIterator
