using System.Text;

namespace LowRankQuant.Evaluation;

/// <summary>The WikiText-2 test text as papers score it.</summary>
public static class WikiText
{
    /// <summary>
    /// The text that GPTQ, LRQ and most papers after them score: the rows of the published data set joined by <c>"\n\n"</c>. A row is a line of
    /// wiki.test.raw with its line end, or nothing where the line is blank. Perplexities of this text and of the file as it stands differ.
    /// </summary>
    /// <param name="raw">wiki.test.raw.</param>
    public static string JoinRows(string raw)
    {
        var joined = new StringBuilder(raw.Length + (raw.Length / 64));
        bool first = true;
        for (int start = 0; start < raw.Length;)
        {
            int end = raw.IndexOf('\n', start);
            end = end < 0 ? raw.Length : end + 1;
            if (!first) joined.Append("\n\n");
            first = false;
            ReadOnlySpan<char> row = raw.AsSpan(start, end - start);
            if (!row.IsWhiteSpace()) joined.Append(row);
            start = end;
        }
        return joined.ToString();
    }
}
