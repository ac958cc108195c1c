using LowRankQuant.Models.Tokenizers.Patterns;

namespace LowRankQuant.Models.Tokenizers.Pipeline;

/// <summary>A part of a text: a span of a string, and whether it begins where the text begins.</summary>
internal readonly record struct Piece(string Text, int Start, int Length, bool AtStart)
{
    internal ReadOnlySpan<char> Span => Text.AsSpan(Start, Length);
}

/// <summary>Cuts pieces into smaller pieces that tokens may not cross, as the pre-tokenizers of tokenizer.json do.</summary>
internal abstract class PreTokenizer
{
    /// <summary>Appends the parts of a piece that is not empty; empty parts are left out.</summary>
    internal abstract void Split(Piece piece, List<Piece> parts);

    /// <summary>
    /// Whether both sides of a place are cut as the whole is. The place becomes that between the characters that the next stage sees there, and is parted
    /// where the whole is always cut there.
    /// </summary>
    internal abstract bool MayCut(ref CutPoint place);

    protected static void Add(Piece whole, int start, int length, List<Piece> parts)
    {
        if (length > 0) parts.Add(new Piece(whole.Text, whole.Start + start, length, whole.AtStart && start == 0));
    }
}

internal sealed class SequencePreTokenizer(PreTokenizer[] stages) : PreTokenizer
{
    internal PreTokenizer[] Stages => stages;

    internal override void Split(Piece piece, List<Piece> parts)
    {
        List<Piece> current = [piece];
        List<Piece> next = [];
        foreach (PreTokenizer stage in stages)
        {
            next.Clear();
            next.EnsureCapacity(current.Count);
            foreach (Piece part in current) stage.Split(part, next);
            (current, next) = (next, current);
        }
        parts.AddRange(current);
    }

    internal override bool MayCut(ref CutPoint place)
    {
        foreach (PreTokenizer stage in stages)
        {
            if (!stage.MayCut(ref place)) return false;
            if (place.IsParted) break;
        }
        return true;
    }
}

/// <summary>What happens to the matches of a pattern.</summary>
internal enum SplitBehavior
{
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

internal sealed class SplitPreTokenizer(PatternMatcher matcher, SplitBehavior behavior, bool invert) : PreTokenizer
{
    internal PatternMatcher Matcher => matcher;

    /// <summary>The expression as the file has it; null for fixed strings and stages with a name of their own.</summary>
    internal string? Pattern { get; init; }

    /// <summary>Whether the pieces are the matches and what lies between them, or, of patterns that leave nothing between, the matches.</summary>
    internal bool IsolatesMatches => behavior == SplitBehavior.Isolated || (behavior == SplitBehavior.Removed && invert);

    internal override void Split(Piece piece, List<Piece> parts)
    {
        ReadOnlySpan<char> text = piece.Span;
        if (behavior == SplitBehavior.Isolated && matcher.ReadsInPlace)
        {
            int end = 0;
            while (end < text.Length && matcher.TryFind(text, end, out int start, out int length))
            {
                Add(piece, end, start - end, parts);
                Add(piece, start, length, parts);
                end = start + length;
            }
            Add(piece, end, text.Length - end, parts);
            return;
        }
        List<(int Start, int Length, bool IsMatch)> spans = Spans(text);
        switch (behavior)
        {
            case SplitBehavior.Isolated:
                foreach ((int start, int length, _) in spans) Add(piece, start, length, parts);
                break;
            case SplitBehavior.Removed:
                foreach ((int start, int length, bool isMatch) in spans)
                {
                    if (!isMatch) Add(piece, start, length, parts);
                }
                break;
            case SplitBehavior.Contiguous:
                AddJoined(piece, spans, parts, (previous, current) => previous == current);
                break;
            case SplitBehavior.MergedWithPrevious:
                AddJoined(piece, spans, parts, (previous, current) => !previous && current);
                break;
            default:
                AddJoined(piece, spans, parts, (previous, current) => previous && !current);
                break;
        }
    }

    internal override bool MayCut(ref CutPoint place)
    {
        PatternEdge edge = matcher.EdgeAt(place);
        if (edge == PatternEdge.Edge && behavior is SplitBehavior.Isolated or SplitBehavior.Removed) place = place with { IsParted = true };
        return edge != PatternEdge.Crossed;
    }

    private List<(int Start, int Length, bool IsMatch)> Spans(ReadOnlySpan<char> text)
    {
        List<(int, int)> found = [];
        matcher.FindAll(text, found);
        List<(int, int, bool)> spans = [];
        int end = 0;
        foreach ((int start, int length) in found)
        {
            if (start > end) spans.Add((end, start - end, invert));
            spans.Add((start, length, !invert));
            end = start + length;
        }
        if (end < text.Length) spans.Add((end, text.Length - end, invert));
        return spans;
    }

    private static void AddJoined(
        Piece piece, List<(int Start, int Length, bool IsMatch)> spans, List<Piece> parts, Func<bool, bool, bool> joins)
    {
        for (int i = 0; i < spans.Count;)
        {
            int start = spans[i].Start;
            int end = start + spans[i].Length;
            while (++i < spans.Count && joins(spans[i - 1].IsMatch, spans[i].IsMatch)) end += spans[i].Length;
            Add(piece, start, end - start, parts);
        }
    }
}

/// <summary>GPT-2's stage: an optional space in front, its pattern, and the byte alphabet unless the model maps bytes itself.</summary>
internal sealed class ByteLevelPreTokenizer(bool addPrefixSpace, bool usePattern, bool mapsBytes) : PreTokenizer
{
    private readonly SplitPreTokenizer _split = new(new Gpt2Matcher(), SplitBehavior.Isolated, invert: false);

    internal bool AddPrefixSpace => addPrefixSpace;

    internal bool UsesPattern => usePattern;

    internal override void Split(Piece piece, List<Piece> parts)
    {
        if (addPrefixSpace && piece.Span[0] != ' ') piece = new Piece(string.Concat(" ", piece.Span), 0, piece.Length + 1, piece.AtStart);
        int from = parts.Count;
        if (usePattern) _split.Split(piece, parts);
        else parts.Add(piece);
        if (!mapsBytes) return;
        for (int i = from; i < parts.Count; i++)
        {
            char[] mapped = new char[parts[i].Length * 3];
            int length = ByteAlphabet.Map(parts[i].Span, mapped);
            parts[i] = new Piece(new string(mapped, 0, length), 0, length, parts[i].AtStart);
        }
    }

    internal override bool MayCut(ref CutPoint place)
    {
        // Nothing is put in front of a part that begins with a space.
        if ((addPrefixSpace && place.After != ' ') || (usePattern && !_split.MayCut(ref place))) return false;
        if (mapsBytes) place = ByteAlphabet.Map(place);
        return true;
    }
}

/// <summary>When a metaspace is put before a piece.</summary>
internal enum PrependScheme
{
    Always,
    First,
    Never,
}

internal sealed class MetaspacePreTokenizer(char replacement, PrependScheme scheme, bool split) : PreTokenizer
{
    private readonly SplitPreTokenizer _split = new(new LiteralMatcher(replacement.ToString()), SplitBehavior.MergedWithNext, invert: false);

    internal char Replacement => replacement;

    internal PrependScheme Scheme => scheme;

    internal bool Splits => split;

    internal override void Split(Piece piece, List<Piece> parts)
    {
        string text = piece.Span.ToString().Replace(' ', replacement);
        bool prepends = scheme == PrependScheme.Always || (scheme == PrependScheme.First && piece.AtStart);
        if (prepends && text[0] != replacement) text = replacement + text;
        Piece changed = new(text, 0, text.Length, piece.AtStart);
        if (split) _split.Split(changed, parts);
        else parts.Add(changed);
    }

    internal override bool MayCut(ref CutPoint place)
    {
        if (place.Before == ' ') place = place with { Before = replacement };
        if (place.After == ' ') place = place with { After = replacement };
        if (place.After == replacement) place = place with { IsParted = split };
        // Nothing is put in front of a part that begins with the replacement.
        return place.After == replacement || scheme != PrependScheme.Always;
    }
}
