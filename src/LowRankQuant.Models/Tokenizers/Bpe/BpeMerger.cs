using System.Buffers;

namespace LowRankQuant.Models.Tokenizers.Bpe;

/// <summary>Applies merges to a sequence of token ids: always the lowest rank, among equal ranks the leftmost.</summary>
internal static class BpeMerger
{
    // Below this length rescanning all pairs is faster than a heap.
    private const int ShortLength = 48;

    /// <summary>Merges in place and returns the new number of ids.</summary>
    internal static int Merge(Span<int> ids, MergeTable merges)
    {
        if (ids.Length < 2) return ids.Length;
        return ids.Length <= ShortLength ? MergeShort(ids, merges) : MergeLong(ids, merges);
    }

    private static int MergeShort(Span<int> ids, MergeTable merges)
    {
        Span<int> ranks = stackalloc int[ShortLength];
        Span<int> results = stackalloc int[ShortLength];
        int count = ids.Length;
        for (int i = 0; i + 1 < count; i++) Look(ids, i, ranks, results, merges);
        while (true)
        {
            int best = -1;
            int bestRank = int.MaxValue;
            for (int i = 0; i + 1 < count; i++)
            {
                if (ranks[i] >= bestRank) continue;
                bestRank = ranks[i];
                best = i;
            }
            if (best < 0) return count;
            ids[best] = results[best];
            ids[(best + 2)..count].CopyTo(ids[(best + 1)..]);
            if (best + 2 < count)
            {
                ranks[(best + 2)..(count - 1)].CopyTo(ranks[(best + 1)..]);
                results[(best + 2)..(count - 1)].CopyTo(results[(best + 1)..]);
            }
            count--;
            if (best > 0) Look(ids, best - 1, ranks, results, merges);
            if (best + 1 < count) Look(ids, best, ranks, results, merges);
        }
    }

    private static void Look(Span<int> ids, int at, Span<int> ranks, Span<int> results, MergeTable merges)
    {
        if (merges.TryGet(ids[at], ids[at + 1], out int rank, out int id))
        {
            ranks[at] = rank;
            results[at] = id;
        }
        else
        {
            ranks[at] = int.MaxValue;
        }
    }

    // A linked list over the positions and a heap of (rank, position): n log n for a text of any length without a pre-tokenizer.
    private static int MergeLong(Span<int> ids, MergeTable merges)
    {
        int count = ids.Length;
        int[] next = ArrayPool<int>.Shared.Rent(count);
        int[] previous = ArrayPool<int>.Shared.Rent(count);
        List<(int Id, ulong Order)> first = new(count / 2);
        for (int i = 0; i < count; i++)
        {
            next[i] = i + 1 < count ? i + 1 : -1;
            previous[i] = i - 1;
            if (i + 1 < count && merges.TryGet(ids[i], ids[i + 1], out int rank, out int id)) first.Add((id, Order(rank, i)));
        }
        PriorityQueue<int, ulong> queue = new(first);
        while (queue.TryDequeue(out int id, out ulong order))
        {
            int at = (int)(order & uint.MaxValue);
            int right = ids[at] < 0 ? -1 : next[at];
            // An entry is stale when either side has been merged since; then the pair makes something else or nothing.
            if (right < 0 || !merges.TryGet(ids[at], ids[right], out _, out int made) || made != id) continue;
            ids[at] = id;
            ids[right] = -1;
            next[at] = next[right];
            if (next[right] >= 0) previous[next[right]] = at;
            if (previous[at] >= 0 && merges.TryGet(ids[previous[at]], id, out int leftRank, out int leftId))
                queue.Enqueue(leftId, Order(leftRank, previous[at]));
            if (next[at] >= 0 && merges.TryGet(id, ids[next[at]], out int rightRank, out int rightId))
                queue.Enqueue(rightId, Order(rightRank, at));
        }
        ArrayPool<int>.Shared.Return(next);
        ArrayPool<int>.Shared.Return(previous);
        int kept = 0;
        for (int i = 0; i < count; i++)
        {
            if (ids[i] >= 0) ids[kept++] = ids[i];
        }
        return kept;
    }

    private static ulong Order(int rank, int position) => ((ulong)(uint)rank << 32) | (uint)position;
}
