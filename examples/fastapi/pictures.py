"""A web service that has pictures drawn elsewhere."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Query

from skirret import Skirret
from skirret.errors import TimeoutError as NotYet
from skirret.integrations.fastapi import lifespan, skirret_app

queue = Skirret("pictures")
app = FastAPI(lifespan=lifespan(queue))

Width = Annotated[int, Query(ge=1, le=80)]
Queue = Annotated[Skirret, Depends(skirret_app)]


@queue.task
async def draw(width: int) -> list[str]:
    """A triangle, row by row."""
    rows = []
    for row in range(width):
        rows.append("*" * (row + 1))
        await asyncio.sleep(0.001)  # as if it were asked of another service
    return rows


@app.post("/pictures/", status_code=202)
async def order(width: Width) -> dict[str, str]:
    """Have a picture drawn."""
    result = await draw.adelay(width)
    return {"id": result.id}


@app.get("/pictures/now")
async def draw_now(width: Width) -> list[str]:
    """A picture, drawn by a worker while this request waits."""
    result = await draw.adelay(width)
    try:
        return await result.aget(timeout=10)
    except NotYet:
        raise HTTPException(503, "No worker was free in time.") from None


@app.get("/pictures/{picture}")
async def fetch(picture: str, queue: Queue) -> dict[str, object]:
    """A picture, once it is there."""
    result = queue.AsyncResult(picture)
    try:
        return {"state": "SUCCESS", "rows": await result.aget(timeout=0.05)}
    except NotYet:
        return {"state": "PENDING"}
