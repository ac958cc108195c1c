namespace LowRankQuant.Models.Tokenizers;

/// <summary>A prefix tree of token texts over UTF-16 units.</summary>
internal sealed class TokenTrie
{
    private readonly Dictionary<ulong, int> _edges = [];
    private readonly List<int> _values = [-1];
    private readonly bool[] _starts = new bool[char.MaxValue + 1];

    internal bool IsEmpty => _values.Count == 1;

    /// <summary>Adds a text; the first value stays when a text comes twice. Empty texts are ignored.</summary>
    internal void Add(string text, int value)
    {
        if (text.Length == 0) return;
        _starts[text[0]] = true;
        int node = 0;
        foreach (char c in text)
        {
            ulong key = Key(node, c);
            if (!_edges.TryGetValue(key, out int next))
            {
                next = _values.Count;
                _values.Add(-1);
                _edges.Add(key, next);
            }
            node = next;
        }
        if (_values[node] < 0) _values[node] = value;
    }

    /// <summary>The child of a node, or -1. The root is 0.</summary>
    internal int Step(int node, char c) => _edges.TryGetValue(Key(node, c), out int next) ? next : -1;

    /// <summary>The value of the text that ends in a node, or -1.</summary>
    internal int Value(int node) => _values[node];

    /// <summary>Finds the leftmost match at or after <paramref name="from"/>, and there the longest.</summary>
    internal bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length, out int value)
    {
        for (start = from; start < text.Length; start++)
        {
            if (_starts[text[start]] && TryMatch(text, start, out length, out value)) return true;
        }
        length = 0;
        value = -1;
        return false;
    }

    /// <summary>The longest text that begins exactly at <paramref name="start"/>.</summary>
    internal bool TryMatch(ReadOnlySpan<char> text, int start, out int length, out int value)
    {
        length = 0;
        value = -1;
        int node = 0;
        for (int i = start; i < text.Length; i++)
        {
            node = Step(node, text[i]);
            if (node < 0) break;
            if (_values[node] < 0) continue;
            value = _values[node];
            length = i + 1 - start;
        }
        return length > 0;
    }

    private static ulong Key(int node, char c) => ((ulong)(uint)node << 16) | c;
}
