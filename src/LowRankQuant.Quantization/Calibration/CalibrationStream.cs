using System.Text;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>The ids of all documents behind each other, up to the number wanted.</summary>
internal sealed class CalibrationStream
{
    private const string UsualEndOfText = "<|endoftext|>";

    // Of a text whose beginning alone is encoded the last ids are not used: the cut can change how the text just in front of it is merged, but nothing farther away.
    private const int CutMargin = 4096;

    private readonly ITokenizer? _tokenizer;
    private readonly string _location;
    private readonly DecoderConfig _config;
    private readonly long _wanted;
    private readonly int _encodedWhole;
    private readonly DocumentMarks _marks;
    private readonly HashSet<string> _separators = [UsualEndOfText];
    private TextDocument? _last;

    /// <param name="options">How documents follow each other.</param>
    /// <param name="wanted">Tokens at which reading ends.</param>
    /// <param name="tokenizer">Encodes texts; null where all sources hold ids.</param>
    /// <param name="config">The model's sizes.</param>
    /// <param name="encodedWhole">Characters up to which a text is encoded whole.</param>
    /// <param name="location">The model, for messages.</param>
    public CalibrationStream(CalibrationOptions options, long wanted, ITokenizer? tokenizer, DecoderConfig config, int encodedWhole, string location)
    {
        _location = location;
        _tokenizer = tokenizer;
        _config = config;
        _wanted = wanted;
        _encodedWhole = encodedWhole;
        Mask = options.AssistantOnly ? [] : null;
        int? eos = DocumentMarks.EosId(tokenizer, config);
        bool addBos = options.AddBos switch { AddBos.Yes => true, AddBos.No => false, _ => tokenizer is { AddsBos: true } };
        _marks = new DocumentMarks(addBos ? DocumentMarks.BosId(tokenizer, config) : null, eos);
        if (addBos && _marks.Bos is null)
            throw new CalibrationException("`add_bos` yes: neither the tokenizer nor the configuration names a begin-of-text token.");
        if (eos is { } end && tokenizer?.TokenText(end) is { Length: > 0 } text) _separators.Add(text);
    }

    public List<int> Ids { get; } = [];

    /// <summary>Whether each token is one that the assistant says; null where nobody asked.</summary>
    public List<bool>? Mask { get; }

    public long Found { get; private set; }

    public int Documents { get; private set; }

    public bool Full => Ids.Count >= _wanted;

    public void Append(TextSource file, IProgress<CalibrationProgress>? progress, CancellationToken cancellation)
    {
        foreach (TextDocument document in file.Documents(_separators))
        {
            cancellation.ThrowIfCancellationRequested();
            if (document.Ids is { } ids)
            {
                if (Mask is not null) throw new CalibrationException($"`assistant_only` needs conversations, and '{file.Path}' holds token ids; leave it out.");
                Add(ids, ids.Length, file.Path);
            }
            else if (!AppendText(file, document)) continue;
            _last = document;
            Documents++;
            progress?.Report(new CalibrationProgress(file.Path, Documents, Math.Min(Found, _wanted), _wanted));
            if (Full) return;
        }
    }

    private bool AppendText(TextSource file, TextDocument document)
    {
        if (_tokenizer is null)
            throw new CalibrationException($"'{file.Path}' holds text, which needs a tokenizer, and {_location} holds none (tokenizer.json, tokenizer.model). Copy the model's there, or give token ids.");
        if (Mask is not null && document is not StringDocument { Spans: not null })
            throw new CalibrationException($"`assistant_only` needs conversations, and '{file.Path}' holds text; give conversations alone, or leave it out.");
        var text = new StringBuilder();
        bool more = document.Read(text, _encodedWhole);
        if (text.Length == 0 && !more) return false;
        foreach (int mark in _marks.Before(document, _last)) Add([mark], 1, file.Path);
        long missing = _wanted - Ids.Count;
        while (true)
        {
            int[] ids = Encode(text.ToString(), file.Path);
            int safe = more ? Math.Max(0, ids.Length - CutMargin) : ids.Length;
            if (!more || safe >= missing)
            {
                Add(ids, safe, file.Path, Mask is null ? null : MaskOf((StringDocument)document, ids, file.Path));
                return true;
            }
            // Merges may run across any border, so the longer text is encoded from its start again.
            more = document.Read(text, text.Length);
        }
    }

    private int[] Encode(string text, string name)
    {
        try
        {
            return _tokenizer!.Encode(text, addSpecialTokens: false);
        }
        catch (TokenizerException failure)
        {
            throw new CalibrationException($"'{name}', document {Documents + 1} cannot be encoded: {failure.Message}", failure);
        }
    }

    // A token belongs to the assistant where it begins behind the start of what it says and ends in front of its end.
    private bool[] MaskOf(StringDocument document, int[] ids, string name)
    {
        var mask = new bool[ids.Length];
        foreach ((int start, int end) in document.Spans!)
        {
            int first = Tokens(start), behind = Tokens(end);
            if (behind > first) mask.AsSpan(first, behind - first).Fill(true);
        }
        return mask;

        // Tokens that the text up to a place alone has too.
        int Tokens(int place) => place == document.Text.Length ? ids.Length : ids.AsSpan().CommonPrefixLength(Encode(document.Text[..place], name));
    }

    private void Add(ReadOnlySpan<int> ids, int count, string name, bool[]? mask = null)
    {
        int used = (int)Math.Min(count, Math.Max(0, _wanted - Ids.Count));
        for (int i = 0; i < used; i++)
        {
            if ((uint)ids[i] >= (uint)_config.VocabularySize)
            {
                throw new CalibrationException(
                    $"'{name}', document {Documents + 1}: token id {ids[i]} (number {i}) is beyond the vocabulary of {_config.VocabularySize}. " +
                    "The ids or the tokenizer belong to another model.");
            }
        }
        Ids.AddRange(ids[..used]);
        Mask?.AddRange(mask is null ? new bool[used] : mask.AsSpan(0, used));
        Found += count;
    }
}
