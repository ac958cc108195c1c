using System.Numerics;

namespace LowRankQuant.Models.Tokenizers.Bpe;

/// <summary>
/// Pairs of token ids with the rank of their merge and the id it makes. Open addressing with a mixed hash, because the built-in
/// hash of a 64-bit key is the exclusive or of its halves, which collides for most pairs of neighbouring ids.
/// </summary>
internal sealed class MergeTable
{
    private const ulong Free = ulong.MaxValue;
    private readonly ulong[] _keys;
    private readonly (int Rank, int Id)[] _values;
    private readonly int _mask;

    internal MergeTable(int count)
    {
        int capacity = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(count * 2L, 16));
        _mask = capacity - 1;
        _keys = new ulong[capacity];
        Array.Fill(_keys, Free);
        _values = new (int, int)[capacity];
    }

    internal int Count { get; private set; }

    /// <summary>Adds a merge. Of two merges of one pair the last counts if <paramref name="replace"/>, else the first.</summary>
    internal void Add(int left, int right, int rank, int id, bool replace)
    {
        int slot = Slot(Key(left, right));
        if (_keys[slot] == Free)
        {
            _keys[slot] = Key(left, right);
            Count++;
        }
        else if (!replace)
        {
            return;
        }
        _values[slot] = (rank, id);
    }

    internal bool TryGet(int left, int right, out int rank, out int id)
    {
        int slot = Slot(Key(left, right));
        (rank, id) = _values[slot];
        return _keys[slot] != Free;
    }

    /// <summary>All merges by rising rank.</summary>
    internal List<(int Left, int Right, int Rank, int Id)> Sorted()
    {
        List<(int Left, int Right, int Rank, int Id)> merges = new(Count);
        for (int slot = 0; slot < _keys.Length; slot++)
        {
            if (_keys[slot] != Free) merges.Add(((int)(_keys[slot] >> 32), (int)_keys[slot], _values[slot].Rank, _values[slot].Id));
        }
        merges.Sort((a, b) => a.Rank.CompareTo(b.Rank));
        return merges;
    }

    private static ulong Key(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    private int Slot(ulong key)
    {
        ulong hash = key * 0x9E3779B97F4A7C15UL;
        int slot = (int)(hash ^ (hash >> 32)) & _mask;
        while (_keys[slot] != key && _keys[slot] != Free) slot = (slot + 1) & _mask;
        return slot;
    }
}
