using System.Text;
using System.Text.RegularExpressions;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Evaluation;

/// <summary>The WikiText-2 test text as papers and harnesses score it.</summary>
public static partial class WikiText
{
    /// <summary>
    /// The text that GPTQ, LRQ and most papers after them score: the rows of the published data set joined by <c>"\n\n"</c>. Perplexities of this text
    /// and of the file as it stands differ.
    /// </summary>
    /// <param name="raw">wiki.test.raw, or another text; a line at a time is in memory.</param>
    public static TextReader JoinRows(TextReader raw) => new JoinedRows(Rows(raw));

    /// <summary>The rows of the published data set: a line with its line end, or nothing where the line is blank.</summary>
    private static IEnumerable<string> Rows(TextReader raw)
    {
        string? held = null;
        foreach (string line in Lines(raw))
        {
            if (held is not null) yield return string.IsNullOrWhiteSpace(held) ? "" : held + "\n";
            held = line;
        }
        // Behind the last line end there is no row.
        if (!string.IsNullOrEmpty(held)) yield return string.IsNullOrWhiteSpace(held) ? "" : held;
    }

    /// <summary>
    /// The pages of a text, as lm-evaluation-harness's rolling perplexity takes them: each begins with a line <c>= Title =</c>. Pages of white space
    /// alone are left out, but not the last. A text without such lines is one page.
    /// </summary>
    /// <param name="raw">wiki.test.raw, or another text.</param>
    public static IReadOnlyList<string> Pages(string raw) => [.. Pages(new StringReader(raw))];

    /// <summary>The pages of a text of any length, one at a time.</summary>
    /// <param name="text">Read as far as pages are asked for, and for the last one to its end.</param>
    public static IEnumerable<string> Pages(TextReader text)
    {
        var lines = new List<string>();
        foreach (string line in Lines(text))
        {
            string heading = PythonText.Strip(line.Replace("= = =", "===", StringComparison.Ordinal).Replace("= =", "==", StringComparison.Ordinal));
            if (heading.StartsWith("= ", StringComparison.Ordinal) && heading.EndsWith(" =", StringComparison.Ordinal))
            {
                string page = string.Join('\n', lines);
                if (!string.IsNullOrWhiteSpace(page)) yield return page;
                lines.Clear();
            }
            lines.Add(line);
        }
        yield return string.Join('\n', lines);
    }

    /// <summary>The parts of a text between line feeds; carriage returns stay.</summary>
    private static IEnumerable<string> Lines(TextReader text)
    {
        var line = new StringBuilder();
        char[] buffer = new char[1 << 16];
        for (int length; (length = text.Read(buffer, 0, buffer.Length)) > 0;)
        {
            int start = 0;
            for (int end; (end = Array.IndexOf(buffer, '\n', start, length - start)) >= 0; start = end + 1)
            {
                yield return line.Append(buffer, start, end - start).ToString();
                line.Clear();
            }
            line.Append(buffer, start, length - start);
        }
        yield return line.ToString();
    }

    /// <summary>Undoes WikiText's spaces around punctuation by the harness's rules, in the harness's order, slips included.</summary>
    /// <param name="page">A page.</param>
    public static string Detokenize(string page)
    {
        StringBuilder text = new(page);
        text.Replace("s '", "s'");
        // Meant as a pattern of an apostrophe and a digit; what it does is this.
        text = new StringBuilder(SlashedDigit().Replace(text.ToString(), "/'[0-9]/"));
        text.Replace(" @-@ ", "-").Replace(" @,@ ", ",").Replace(" @.@ ", ".");
        text.Replace(" : ", ": ").Replace(" ; ", "; ").Replace(" . ", ". ").Replace(" ! ", "! ").Replace(" ? ", "? ").Replace(" , ", ", ");
        string joined = Round().Replace(text.ToString(), "($1)");
        joined = Square().Replace(joined, "[$1]");
        joined = Curly().Replace(joined, "{$1}");
        joined = DoubleQuotes().Replace(joined, "\"$1\"");
        text = new StringBuilder(SingleQuotes().Replace(joined, "'$1'"));
        text.Replace("= = = =", "====").Replace("= = =", "===").Replace("= =", "==");
        return text.Replace(" ° ", "°").Replace(" \n", "\n").Replace("\n ", "\n").Replace(" N ", " 1 ").Replace(" 's", "'s").ToString();
    }

    /// <summary>Words as the harness counts them: parts between white space, empty ones at the ends included.</summary>
    /// <param name="page">A page as it stood before <see cref="Detokenize"/>.</param>
    public static int CountWords(string page)
    {
        int words = 1;
        for (int i = 0; i < page.Length; i++)
        {
            if (PythonText.IsSpace(page[i]) && (i == 0 || !PythonText.IsSpace(page[i - 1]))) words++;
        }
        return words;
    }

    [GeneratedRegex("/' [0-9]/", RegexOptions.CultureInvariant)]
    private static partial Regex SlashedDigit();

    [GeneratedRegex(@"\(\s*([^\)]*?)\s*\)", RegexOptions.CultureInvariant)]
    private static partial Regex Round();

    [GeneratedRegex(@"\[\s*([^\]]*?)\s*\]", RegexOptions.CultureInvariant)]
    private static partial Regex Square();

    [GeneratedRegex(@"{\s*([^}]*?)\s*}", RegexOptions.CultureInvariant)]
    private static partial Regex Curly();

    [GeneratedRegex("\"\\s*([^\"]*?)\\s*\"", RegexOptions.CultureInvariant)]
    private static partial Regex DoubleQuotes();

    [GeneratedRegex(@"'\s*([^']*?)\s*'", RegexOptions.CultureInvariant)]
    private static partial Regex SingleQuotes();
}
