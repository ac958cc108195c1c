using System.Text;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Generation;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>
/// Makes calibration windows. Documents follow each other with the end-of-text token between them, each after a begin-of-text token where the
/// tokenizer asks for one, and the stream is cut into windows from its start: first those to calibrate on, then the ones held out, spread over up to
/// twice as many windows where there is text enough, then those beyond. Lines of an ids file follow each other as they are.
/// </summary>
public static class CalibrationLoader
{
    private const string UsualEndOfText = "<|endoftext|>";

    // A text is encoded whole up to this many characters. Of a longer one only the beginning is encoded, and the last ids of that are not used:
    // the cut can change how the text just in front of it is merged, but nothing farther away.
    private const int EncodedWhole = 1 << 22;
    private const int CutMargin = 4096;

    /// <summary>Reads files, or samples from <paramref name="model"/> when the source is <see cref="CalibrationOptions.Self"/>.</summary>
    /// <param name="options">What to read.</param>
    /// <param name="tokenizer">Encodes the texts; null when all sources hold ids.</param>
    /// <param name="config">The model's sizes: ids are checked against its vocabulary, the window against its positions.</param>
    /// <param name="model">For <see cref="CalibrationOptions.Self"/>, and for its chat template where a file holds conversations.</param>
    /// <param name="progress">Told about every document.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="CalibrationException">The options or the data cannot be used, or there is too little text.</exception>
    /// <exception cref="TextSourceException">A file cannot be read as text.</exception>
    public static CalibrationSet Load(
        CalibrationOptions options,
        ITokenizer? tokenizer,
        DecoderConfig config,
        CausalModel? model = null,
        IProgress<CalibrationProgress>? progress = null,
        CancellationToken cancellation = default) => Load(options, tokenizer, config, model, EncodedWhole, progress, cancellation);

    /// <summary>As the public overload, with another length up to which texts are encoded whole.</summary>
    internal static CalibrationSet Load(
        CalibrationOptions options,
        ITokenizer? tokenizer,
        DecoderConfig config,
        CausalModel? model,
        int encodedWhole,
        IProgress<CalibrationProgress>? progress,
        CancellationToken cancellation)
    {
        Check(options, config);
        if (options.Sources is [CalibrationOptions.Self]) return SampleSelf(options, tokenizer, config, model, progress, cancellation);
        (TokenStream stream, TextSource[] files) = Read(options, tokenizer, config, model, encodedWhole, progress, cancellation);
        if (options.TakeFewer) options = options with { Samples = Math.Clamp((stream.Ids.Count / options.SequenceLength) - options.HeldOut, 1, options.Samples) };
        (int[][] windows, int[][] heldOut, int[][] more) = Cut(stream.Ids, stream.Found, options);
        CalibrationSource[] sources = [.. files.Select(Describe)];
        return new CalibrationSet(windows, heldOut, more)
        {
            Documents = stream.Documents,
            TokensFound = stream.Found,
            Sources = sources,
            Warnings = [.. files.SelectMany(file => file.Warnings), .. Twice(sources)],
        };
    }

    /// <summary>How many tokens the files give, at most as many as the windows to calibrate on and to hold out need.</summary>
    /// <inheritdoc cref="Load(CalibrationOptions, ITokenizer?, DecoderConfig, CausalModel?, IProgress{CalibrationProgress}?, CancellationToken)"/>
    public static long CountTokens(
        CalibrationOptions options, ITokenizer? tokenizer, DecoderConfig config, CausalModel? model = null, CancellationToken cancellation = default)
    {
        Check(options, config);
        if (options.Sources is [CalibrationOptions.Self]) return ((long)options.Samples + options.HeldOut) * options.SequenceLength;
        // Held-out windows need no text between them.
        CalibrationOptions plain = options with { Samples = options.Samples + options.HeldOut, HeldOut = 0, MoreSamples = 0 };
        return Read(plain, tokenizer, config, model, EncodedWhole, null, cancellation).Stream.Ids.Count;
    }

    private static (TokenStream Stream, TextSource[] Files) Read(
        CalibrationOptions options, ITokenizer? tokenizer, DecoderConfig config, CausalModel? model, int encodedWhole, IProgress<CalibrationProgress>? progress,
        CancellationToken cancellation)
    {
        var reading = new TextSourceOptions { Format = options.Format, TextField = options.TextField };
        ChatText? Chat() => model is null || tokenizer is null ? null : ChatText.Of(model.Checkpoint, tokenizer, config);
        TextSource[] files = [.. options.Sources.Select(path => new TextSource(path, reading, Chat))];
        var stream = new TokenStream(options, tokenizer, config, encodedWhole, model?.Checkpoint.Location ?? "the model");
        foreach (TextSource file in files)
        {
            if (stream.Full) break;
            stream.Append(file, progress, cancellation);
        }
        return (stream, files);
    }

    private static CalibrationSource Describe(TextSource file)
    {
        (long bytes, string hash) = file.Describe();
        return new CalibrationSource(file.Path, bytes, hash);
    }

    private static IEnumerable<string> Twice(CalibrationSource[] sources)
    {
        foreach (IGrouping<string?, CalibrationSource> same in sources.GroupBy(source => source.Sha256).Where(group => group.Count() > 1))
            yield return $"{string.Join(" and ", same.Select(source => $"'{source.Name}'"))} hold the same text; it counts {same.Count()} times.";
    }

    private static void Check(CalibrationOptions options, DecoderConfig config)
    {
        if (options.Samples < 1) throw new CalibrationException($"samples = {options.Samples}: at least 1 window is needed.");
        if (options.HeldOut < 0) throw new CalibrationException($"heldOut = {options.HeldOut}: a number of windows cannot be negative.");
        if (options.MoreSamples < 0) throw new CalibrationException($"moreSamples = {options.MoreSamples}: a number of windows cannot be negative.");
        if (options.SequenceLength < 2)
            throw new CalibrationException($"sequenceLength = {options.SequenceLength}: a window holds at least 2 tokens.");
        if (options.SequenceLength > config.MaxPositions)
            throw new CalibrationException($"sequenceLength = {options.SequenceLength}: the model has {config.MaxPositions} positions.");
        if (Wanted(options) > Array.MaxLength)
        {
            throw new CalibrationException(
                $"{options.Samples} samples and {options.HeldOut} held-out windows of {options.SequenceLength} tokens are more than fit an array.");
        }
        if (options.Sources.Count == 0) throw new CalibrationException($"No calibration source: name files or '{CalibrationOptions.Self}'.");
        if (options.Sources.Count > 1 && options.Sources.Contains(CalibrationOptions.Self))
            throw new CalibrationException($"'{CalibrationOptions.Self}' stands alone. Write ./{CalibrationOptions.Self} for a file of that name.");
    }

    /// <summary>Tokens at which reading ends: every held-out window can have a window of text in front of it that is not used.</summary>
    private static long Wanted(CalibrationOptions options) => ((long)options.Samples + (2L * options.HeldOut) + options.MoreSamples) * options.SequenceLength;

    private static (int[][] Windows, int[][] HeldOut, int[][] More) Cut(List<int> ids, long found, CalibrationOptions options)
    {
        int length = options.SequenceLength, samples = options.Samples, heldOut = options.HeldOut;
        long least = ((long)samples + heldOut) * length;
        if (ids.Count < least)
        {
            throw new CalibrationException(
                $"The calibration text has {found} tokens; {samples} samples and {heldOut} held-out windows of {length} need {least}. " +
                $"Give more text, or ask for fewer (`samples`, `held_out`) or shorter windows (`sequence_length`): {ids.Count / length} of {length} fit.");
        }
        int rest = Math.Min((ids.Count / length) - samples, 2 * heldOut);
        var windows = new int[samples][];
        var kept = new int[heldOut][];
        for (int i = 0; i < samples; i++) windows[i] = [.. ids.GetRange(i * length, length)];
        for (int i = 0; i < heldOut; i++)
        {
            int window = samples + (int)((i + 1L) * rest / heldOut) - 1;
            kept[i] = [.. ids.GetRange(window * length, length)];
        }
        int used = samples + rest;
        int[][] more = [.. Enumerable.Range(used, Math.Min(options.MoreSamples, (ids.Count / length) - used)).Select(window => ids.GetRange(window * length, length).ToArray())];
        return (windows, kept, more);
    }

    private static CalibrationSet SampleSelf(
        CalibrationOptions options,
        ITokenizer? tokenizer,
        DecoderConfig config,
        CausalModel? model,
        IProgress<CalibrationProgress>? progress,
        CancellationToken cancellation)
    {
        if (model is null) throw new CalibrationException($"The source '{CalibrationOptions.Self}' needs the full-precision model.");
        const int batch = 32;
        int judged = options.Samples + options.HeldOut, total = judged + options.MoreSamples;
        int start = DocumentMarks.BosId(tokenizer, config) ?? DocumentMarks.EosId(tokenizer, config) ?? 0;
        var sequences = new int[total][];
        long wanted = (long)total * options.SequenceLength;
        int done = 0;
        using var sampler = new TokenSampler(model);
        for (int first = 0; first < total; first += batch)
        {
            int count = Math.Min(batch, total - first);
            var sampling = new SamplingOptions { Temperature = 1, Seed = options.Seed, FirstStream = (ulong)first };
            int[][] prompts = [.. Enumerable.Repeat(new[] { start }, count)];
            long before = (long)first * options.SequenceLength;
            sampler.Progress = added => progress?.Report(new CalibrationProgress(CalibrationOptions.Self, done, before + ((long)(added + 1) * count), wanted));
            int[][] sampled = sampler.Sample(prompts, options.SequenceLength - 1, sampling, cancellation);
            for (int i = 0; i < count; i++) sequences[first + i] = [start, .. sampled[i]];
            done = first + count;
            progress?.Report(new CalibrationProgress(CalibrationOptions.Self, done, (long)done * options.SequenceLength, wanted));
        }
        return new CalibrationSet(sequences[..options.Samples], sequences[options.Samples..judged], sequences[judged..])
        {
            Documents = total,
            TokensFound = wanted,
            Sources = [new CalibrationSource(CalibrationOptions.Self, 0, null)],
        };
    }

    /// <summary>The ids of all documents behind each other, up to the number wanted.</summary>
    private sealed class TokenStream
    {
        private readonly ITokenizer? _tokenizer;
        private readonly string _location;
        private readonly DecoderConfig _config;
        private readonly long _wanted;
        private readonly int _encodedWhole;
        private readonly DocumentMarks _marks;
        private readonly HashSet<string> _separators = [UsualEndOfText];
        private TextDocument? _last;

        public TokenStream(CalibrationOptions options, ITokenizer? tokenizer, DecoderConfig config, int encodedWhole, string location)
        {
            _location = location;
            _tokenizer = tokenizer;
            _config = config;
            _wanted = Wanted(options);
            _encodedWhole = encodedWhole;
            int? eos = DocumentMarks.EosId(tokenizer, config);
            bool addBos = options.AddBos switch { AddBos.Yes => true, AddBos.No => false, _ => tokenizer is { AddsBos: true } };
            _marks = new DocumentMarks(addBos ? DocumentMarks.BosId(tokenizer, config) : null, eos);
            if (addBos && _marks.Bos is null)
                throw new CalibrationException("`add_bos` yes: neither the tokenizer nor the configuration names a begin-of-text token.");
            if (eos is { } end && tokenizer?.TokenText(end) is { Length: > 0 } text) _separators.Add(text);
        }

        public List<int> Ids { get; } = [];

        public long Found { get; private set; }

        public int Documents { get; private set; }

        public bool Full => Ids.Count >= _wanted;

        public void Append(TextSource file, IProgress<CalibrationProgress>? progress, CancellationToken cancellation)
        {
            foreach (TextDocument document in file.Documents(_separators))
            {
                cancellation.ThrowIfCancellationRequested();
                if (document.Ids is { } ids) Add(ids, ids.Length, file.Path);
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
                    Add(ids, safe, file.Path);
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

        private void Add(ReadOnlySpan<int> ids, int count, string name)
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
            Found += count;
        }
    }
}
