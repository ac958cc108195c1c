namespace LowRankQuant.Quantization.Texts;

/// <summary>Counts what was read otherwise than it stands, or left out, for warnings.</summary>
/// <param name="path">The file.</param>
internal sealed class TextNotes(string path)
{
    private const int MostReasons = 5;

    private readonly SortedDictionary<string, (int Count, string First)> _skipped = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, int> _leftOut = new(StringComparer.Ordinal);
    private readonly List<string> _remarks = [];

    /// <summary>Escapes that were half of a surrogate pair.</summary>
    public int LoneSurrogates;

    /// <summary>Conversations that were put into text.</summary>
    public int Conversations { get; set; }

    /// <summary>Rows that gave a document.</summary>
    public int Used { get; set; }

    /// <summary>A sentence of its own; said once.</summary>
    public void Remark(string sentence)
    {
        if (!_remarks.Contains(sentence)) _remarks.Add(sentence);
    }

    /// <summary>A row is left out.</summary>
    /// <param name="why">Why.</param>
    /// <param name="where">The row: <c>line 7</c> or <c>row 7</c>.</param>
    public void Skip(string why, string where) => _skipped[why] = _skipped.TryGetValue(why, out (int Count, string First) known) ? (known.Count + 1, known.First) : (1, where);

    /// <summary>A part of a row is left out.</summary>
    public void LeaveOut(string what) => _leftOut[what] = _leftOut.GetValueOrDefault(what) + 1;

    /// <summary>What is told about the file so far, a sentence each.</summary>
    public IReadOnlyList<string> Warnings()
    {
        var warnings = new List<string>(_remarks);
        if (LoneSurrogates > 0)
        {
            string halves = Times(LoneSurrogates, "half of a surrogate pair (\\ud800 to \\udfff alone) was", "halves of surrogate pairs (\\ud800 to \\udfff alone) were");
            warnings.Add($"'{path}': {halves} read as U+FFFD.");
        }
        foreach ((string why, (int count, string first)) in _skipped.OrderByDescending(pair => pair.Value.Count).Take(MostReasons))
            warnings.Add($"'{path}': {Times(count, "row was", "rows were")} left out, the first {(first.StartsWith("line", StringComparison.Ordinal) ? "on" : "is")} {first}: {why}.");
        if (_skipped.Count > MostReasons) warnings.Add($"'{path}': rows were left out for {_skipped.Count - MostReasons} more reasons.");
        foreach ((string what, int count) in _leftOut) warnings.Add($"'{path}': {what} was left out of {Times(count, "row", "rows")}.");
        return warnings;
    }

    /// <summary>Throws where rows were left out and none gave a text.</summary>
    /// <exception cref="TextSourceException">No row gave a text.</exception>
    public void ThrowIfNothing()
    {
        if (Used > 0 || _skipped.Count == 0) return;
        (string why, (int count, string first)) = _skipped.MaxBy(pair => pair.Value.Count);
        throw new TextSourceException(
            $"'{path}': none of its rows gives a text: {why} ({first}, {Times(count, "row", "rows")}). Name the field that holds the text by `text_field`.");
    }

    private static string Times(int count, string one, string several) => count == 1 ? $"1 {one}" : $"{count} {several}";
}
