using System.Collections;
using LowRankQuant.Evaluation;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Runs;

/// <summary>
/// The windows of a text file: read, tokenized and cut as they are asked for, so that neither the text nor its ids need fit memory, and no more is read than
/// the windows that are asked for need. Plain text is one text as it stands. Of JSON the documents follow each other as in calibration, with the
/// end-of-text token between them and the begin-of-text token in front of each where the tokenizer adds it; with <c>joinRows</c> they, or the lines of
/// plain text, are joined by blank lines. Lines of token ids follow each other as they are.
/// </summary>
internal sealed class TextFileWindows : IEnumerable<TextWindow>
{
    private readonly TextSource _source;
    private readonly ITokenizer _tokenizer;
    private readonly DecoderConfig _config;
    private readonly PerplexityKind _kind;
    private readonly TextWindowOptions _options;
    private readonly DocumentMarks _marks;
    private readonly bool _joinRows;
    private long _tokens;
    private double _share;
    private bool _ended;

    /// <param name="source">The text.</param>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="config">The model's vocabulary and positions.</param>
    /// <param name="addBos">Whether the begin-of-text token stands in front of the text, or of every document.</param>
    /// <param name="options">Sizes.</param>
    /// <param name="kind">Windows side by side, or llama.cpp's.</param>
    /// <param name="joinRows">Whether rows are joined as papers do.</param>
    /// <exception cref="EvaluationException">The begin-of-text token is asked for and has no id, or rows of token ids are to be joined.</exception>
    public TextFileWindows(
        TextSource source, ITokenizer tokenizer, DecoderConfig config, AddBos addBos, TextWindowOptions options, PerplexityKind kind = PerplexityKind.Windows,
        bool joinRows = false)
    {
        (_source, _tokenizer, _config, _options, _kind, _joinRows) = (source, tokenizer, config, options, kind, joinRows);
        bool adds = addBos switch { AddBos.Yes => true, AddBos.No => false, _ => tokenizer.AddsBos };
        int? bos = !adds ? null : DocumentMarks.BosId(tokenizer, config)
            ?? throw new EvaluationException("`add_bos` yes: neither the tokenizer nor the configuration names a begin-of-text token.");
        _marks = new DocumentMarks(bos, DocumentMarks.EosId(tokenizer, config));
        if (joinRows && source.Format == TextFormat.Ids) throw new EvaluationException($"`join_rows` joins texts, and '{source.Path}' holds token ids; leave it out.");
        if (joinRows && source is { Format: TextFormat.Text, IsSeveral: true }) throw new EvaluationException($"`join_rows` joins the lines of one file, and '{source.Path}' is several; name one, or leave it out.");
    }

    /// <summary>Characters of the longest part that was tokenized at once.</summary>
    public int LongestPart { get; private set; }

    /// <summary>About how many windows there are, from the tokens found in what was read; 0 before anything was.</summary>
    public int Expected
    {
        get
        {
            double all = _share > 0 ? Math.Ceiling(_tokens / _share / (_options.Stride ?? Context)) : 0;
            return (int)Math.Min(all, _options.Windows ?? int.MaxValue);
        }
    }

    private int Context => _options.Context ?? Math.Min(_kind == PerplexityKind.LlamaCpp ? TextWindows.LlamaCppContext : TextWindowOptions.UsualContext, _config.MaxPositions);

    /// <summary>What to say about a text that has fewer windows than were asked for, or no whole one; null when there is nothing to say.</summary>
    /// <param name="made">Windows that were made.</param>
    /// <param name="option">The option that asked for windows.</param>
    public string? Shortage(int made, string option)
    {
        if (!_ended) return null;
        if (made == 1 && _tokens < Context) return $"'{_source.Path}' has {_tokens} tokens: it is measured as one window of {_tokens} instead of {Context}.";
        return made < _options.Windows ? $"'{_source.Path}' has {_tokens} tokens, which make {made} windows of {Context} tokens, the last perhaps shorter; {option} asks for {_options.Windows}." : null;
    }

    /// <exception cref="EvaluationException">As it is enumerated: the text is too short, or an id is beyond the vocabulary.</exception>
    /// <exception cref="TextSourceException">As it is enumerated: the file cannot be read as text.</exception>
    /// <inheritdoc/>
    public IEnumerator<TextWindow> GetEnumerator()
    {
        (_tokens, _share, _ended) = (0, 0, false);
        IEnumerable<int[]> parts = _joinRows || _source.IsJoined || (_source.Format == TextFormat.Text && !_source.IsSeveral) ? Whole() : Documents();
        IEnumerable<TextWindow> windows = _kind == PerplexityKind.LlamaCpp
            ? TextWindows.CutLlamaCpp(parts, _marks.Bos, _options, _config)
            : TextWindows.Cut(parts, _options, _config);
        return windows.GetEnumerator();
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>One text, with the begin-of-text token in front.</summary>
    private IEnumerable<int[]> Whole()
    {
        Func<double>? share = null;
        using SourceReader? plain = _source.Format == TextFormat.Text ? _source.Open() : null;
        if (plain is not null) share = () => plain.Share;
        using TextReader text = plain is not null ? (_joinRows ? WikiText.JoinRows(plain) : plain) : Joined(opened => share = opened);
        if (_marks.Bos is { } first) yield return Counted([first], null);
        foreach (int[] part in Tokens(text)) yield return Counted(part, share);
        _ended = true;
    }

    // A text that joins its rows itself is one document.
    private TextReader Joined(Action<Func<double>> opened) => _source.IsJoined
        ? new DocumentReader(_source.Documents([], opened).Single())
        : new JoinedRows(_source.Documents([], opened).Select(document => ((StringDocument)document).Text));

    private IEnumerable<int[]> Documents()
    {
        Func<double>? share = null;
        TextDocument? last = null;
        foreach (TextDocument document in _source.Documents([], opened => share = opened))
        {
            int[] marks = [.. _marks.Before(document, last)];
            if (marks.Length > 0) yield return Counted(marks, share);
            if (document.Ids is { } ids) yield return Counted(ids, share);
            else
            {
                foreach (int[] part in Tokens(document is StringDocument row ? new StringReader(row.Text) : new DocumentReader(document))) yield return Counted(part, share);
            }
            last = document;
        }
        _ended = true;
    }

    private IEnumerable<int[]> Tokens(TextReader text)
    {
        var stream = new TokenStream(_tokenizer, text);
        foreach (int[] part in stream.Parts())
        {
            LongestPart = Math.Max(LongestPart, stream.LongestSoFar);
            yield return part;
        }
    }

    private int[] Counted(int[] part, Func<double>? share)
    {
        _tokens += part.Length;
        if (share is not null) _share = share();
        return part;
    }
}
