using System.Collections;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Evaluation.Runs;

/// <summary>
/// The windows of a text file: read, tokenized and cut as they are asked for, so that neither the text nor its ids need fit memory, and no more is read than
/// the windows that are asked for need.
/// </summary>
internal sealed class TextFileWindows : IEnumerable<TextWindow>
{
    private readonly string _file;
    private readonly ITokenizer _tokenizer;
    private readonly DecoderConfig _config;
    private readonly PerplexityKind _kind;
    private readonly TextWindowOptions _options;
    private readonly int? _bos;
    private long _tokens;
    private double _share;

    /// <param name="file">The text.</param>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="config">The model's vocabulary and positions.</param>
    /// <param name="addBos">Whether the begin-of-text token stands in front of the text.</param>
    /// <param name="options">Sizes.</param>
    /// <param name="kind">Windows side by side, or llama.cpp's.</param>
    /// <exception cref="EvaluationException">The begin-of-text token is asked for and has no id.</exception>
    public TextFileWindows(
        string file, ITokenizer tokenizer, DecoderConfig config, AddBos addBos, TextWindowOptions options, PerplexityKind kind = PerplexityKind.Windows)
    {
        (_file, _tokenizer, _config, _options, _kind) = (file, tokenizer, config, options, kind);
        bool adds = addBos switch { AddBos.Yes => true, AddBos.No => false, _ => tokenizer.AddsBos };
        _bos = !adds ? null : tokenizer.BosId ?? config.BosId
            ?? throw new EvaluationException("--add-bos yes: neither the tokenizer nor the configuration names a begin-of-text token.");
    }

    /// <summary>Characters of the longest part that was tokenized at once.</summary>
    public int LongestPart { get; private set; }

    /// <summary>About how many windows there are, from the tokens found in what was read; 0 before anything was.</summary>
    public int Expected
    {
        get
        {
            int usual = _kind == PerplexityKind.LlamaCpp ? TextWindows.LlamaCppContext : TextWindowOptions.UsualContext;
            int step = _options.Stride ?? _options.Context ?? Math.Min(usual, _config.MaxPositions);
            double all = _share > 0 ? Math.Ceiling(_tokens / _share / step) : 0;
            return (int)Math.Min(all, _options.Windows ?? int.MaxValue);
        }
    }

    /// <exception cref="EvaluationException">As it is enumerated: the file is absent, not UTF-8, or too short.</exception>
    /// <inheritdoc/>
    public IEnumerator<TextWindow> GetEnumerator()
    {
        using var reader = new TextFileReader(_file);
        IEnumerable<int[]> parts = Parts(reader);
        foreach (TextWindow window in _kind == PerplexityKind.LlamaCpp
            ? TextWindows.CutLlamaCpp(parts, _bos, _options, _config)
            : TextWindows.Cut(parts, _options, _config))
            yield return window;
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private IEnumerable<int[]> Parts(TextFileReader reader)
    {
        (_tokens, _share) = (0, 0);
        if (_bos is { } first) yield return [first];
        var stream = new TokenStream(_tokenizer, reader);
        foreach (int[] part in stream.Parts())
        {
            _tokens += part.Length;
            _share = reader.Share;
            LongestPart = stream.LongestSoFar;
            yield return part;
        }
    }
}
