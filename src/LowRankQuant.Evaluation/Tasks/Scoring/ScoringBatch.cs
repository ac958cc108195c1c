using LowRankQuant.Models.Decoder.Passes;

namespace LowRankQuant.Evaluation.Tasks.Scoring;

/// <summary>An item to score.</summary>
/// <param name="Requests">Its requests; none for an item that cannot be asked.</param>
/// <param name="PrefixKey">Items of one key that follow each other share the tokens they all begin with; null for an item by itself.</param>
internal sealed record ScoringUnit(IReadOnlyList<TokenRequest> Requests, string? PrefixKey);

/// <summary>Tokens that pass through the model together.</summary>
/// <param name="Tokens">One per row.</param>
/// <param name="FirstUnit">The first unit whose requests are here.</param>
/// <param name="Trees">The trees of that unit and the following; empty for a prefix.</param>
/// <param name="Prefix">Tokens that all rows stand behind; null for none.</param>
internal sealed record ScoringBatch(int[] Tokens, int FirstUnit, IReadOnlyList<TokenTree> Trees, int[]? Prefix)
{
    /// <summary>Positions that lanes must have room for.</summary>
    public int Positions => IsPrefix ? Tokens.Length : Trees.SelectMany(tree => tree.Segments).Max(segment => segment.Position + segment.Length);

    /// <summary>Whether this computes a prefix and asks nothing.</summary>
    public bool IsPrefix => Trees.Count == 0;

    /// <summary>The batch that computes a prefix.</summary>
    public static ScoringBatch OfPrefix(int[] prefix) => new(prefix, 0, [], null);

    /// <summary>The position of every row.</summary>
    public int[] RowPositions()
    {
        var positions = new int[Tokens.Length];
        int first = 0;
        if (IsPrefix) Fill(new TreeSegment(0, Tokens.Length, 0));
        foreach (TokenTree tree in Trees)
        {
            foreach (TreeSegment segment in tree.Segments) Fill(segment);
            first += tree.Tokens.Length;
        }
        return positions;

        void Fill(TreeSegment segment)
        {
            for (int i = 0; i < segment.Length; i++) positions[first + segment.Row + i] = segment.Position + i;
        }
    }

    /// <summary>Shares the trees out among lanes, neighbours together, rows about equal. Which lane a tree is in changes no number.</summary>
    public IReadOnlyList<LaneWork> Share(IReadOnlyList<IMixerState> lanes)
    {
        if (IsPrefix) return [new LaneWork(lanes[0], [new LaneRows(0, Tokens.Length, 0)])];
        var work = new List<LaneWork>();
        var rows = new List<LaneRows>();
        int first = 0;
        foreach (TokenTree tree in Trees)
        {
            foreach (TreeSegment segment in tree.Segments) rows.Add(new LaneRows(first + segment.Row, segment.Length, segment.Position));
            first += tree.Tokens.Length;
            if (work.Count == lanes.Count - 1 || (long)first * lanes.Count < (long)Tokens.Length * (work.Count + 1)) continue;
            work.Add(new LaneWork(lanes[work.Count], rows));
            rows = [];
        }
        if (rows.Count > 0) work.Add(new LaneWork(lanes[work.Count], rows));
        return work;
    }
}
