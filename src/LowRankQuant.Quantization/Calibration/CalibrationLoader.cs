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
    // A text is encoded whole up to this many characters, of a longer one only the beginning.
    private const int EncodedWhole = 1 << 22;

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
        if (options.IsSelf) return SampleSelf(options, tokenizer, config, model, progress, cancellation);
        var reader = new Reader(options, tokenizer, config, model, encodedWhole, progress, cancellation);
        return options.IsWeighted ? Weighted(options, reader) : InOrder(options, reader);
    }

    /// <summary>How many tokens the files give, at most as many as the windows to calibrate on and to hold out need.</summary>
    /// <inheritdoc cref="Load(CalibrationOptions, ITokenizer?, DecoderConfig, CausalModel?, IProgress{CalibrationProgress}?, CancellationToken)"/>
    public static long CountTokens(
        CalibrationOptions options, ITokenizer? tokenizer, DecoderConfig config, CausalModel? model = null, CancellationToken cancellation = default)
    {
        Check(options, config);
        if (options.IsSelf) return ((long)options.Samples + options.HeldOut) * options.SequenceLength;
        // Held-out windows need no text between them.
        CalibrationOptions plain = options with { Samples = options.Samples + options.HeldOut, HeldOut = 0, MoreSamples = 0 };
        var reader = new Reader(plain, tokenizer, config, model, EncodedWhole, null, cancellation);
        if (!plain.IsWeighted) return reader.Read(plain.Sources, Wanted(plain)).Stream.Ids.Count;
        // As many as the text allows that runs out first.
        double[] weights = [.. plain.Sources.Select(source => source.Weight!.Value)];
        int[] counts = WindowShares.Count(WindowShares.Deal(weights, plain.Samples), weights.Length);
        double least = double.PositiveInfinity;
        for (int i = 0; i < counts.Length; i++)
        {
            if (counts[i] == 0) continue;
            long wanted = (long)counts[i] * plain.SequenceLength;
            least = Math.Min(least, (double)reader.Read([plain.Sources[i]], wanted).Stream.Ids.Count / wanted);
        }
        return (long)(least * plain.Samples * plain.SequenceLength);
    }

    private static CalibrationSet InOrder(CalibrationOptions options, Reader reader)
    {
        Gathered text = reader.Read(options.Sources, Wanted(options));
        if (options.TakeFewer) options = options with { Samples = Math.Clamp((text.Stream.Ids.Count / options.SequenceLength) - options.HeldOut, 1, options.Samples) };
        Cut cut = Cut.Of(text.Stream, options, "The calibration text");
        return Set([text], cut.Windows, cut.HeldOut, cut.More);
    }

    private static CalibrationSet Weighted(CalibrationOptions options, Reader reader)
    {
        double[] weights = [.. options.Sources.Select(source => source.Weight!.Value)];
        int texts = weights.Length;
        int[] heldOut = WindowShares.Deal(weights, options.HeldOut), more = WindowShares.Deal(weights, options.MoreSamples);
        int[] held = WindowShares.Count(heldOut, texts), beyond = WindowShares.Count(more, texts);
        int[] counts = WindowShares.Count(WindowShares.Deal(weights, options.Samples), texts);
        Gathered[] found = [.. options.Sources.Select((source, i) => reader.Read([source], Wanted(OfText(i))))];
        while (options.TakeFewer && options.Samples > 1 && found.Where((text, i) => text.Stream.Ids.Count / options.SequenceLength < counts[i] + held[i]).Any())
        {
            options = options with { Samples = options.Samples - 1 };
            counts = WindowShares.Count(WindowShares.Deal(weights, options.Samples), texts);
        }
        Cut[] cuts = [.. found.Select((text, i) => Cut.Of(text.Stream, OfText(i), $"'{options.Sources[i].Name}'"))];
        double sum = weights.Sum();
        CalibrationShare[] shares = [.. cuts.Select((cut, i) => new CalibrationShare(options.Sources[i].Name, weights[i] / sum, cut.Windows.Length, cut.HeldOut.Length, cut.More.Length))];
        return Set(found, Dealt(WindowShares.Deal(weights, options.Samples), cut => cut.Windows), Dealt(heldOut, cut => cut.HeldOut), Dealt(more, cut => cut.More), shares);

        CalibrationOptions OfText(int i) => options with { Samples = counts[i], HeldOut = held[i], MoreSamples = beyond[i] };

        // Texts that have no further window are passed over.
        IdWindow[] Dealt(int[] order, Func<Cut, IdWindow[]> windows)
        {
            var next = new int[texts];
            return [.. order.Where(i => next[i] < windows(cuts[i]).Length).Select(i => windows(cuts[i])[next[i]++])];
        }
    }

    private static CalibrationSet Set(Gathered[] texts, IdWindow[] windows, IdWindow[] heldOut, IdWindow[] more, CalibrationShare[]? shares = null)
    {
        CalibrationSource[] sources = [.. texts.SelectMany(text => text.Files).Select(Describe)];
        bool[][]? masks = windows[0].Mask is null ? null : [.. windows.Concat(heldOut).Concat(more).Select(window => window.Mask!)];
        if (masks is not null && CalibrationSet.NoneCounts(masks[..windows.Length]))
            throw new CalibrationException("`assistant_only`: no window holds a token that an assistant says; give other conversations, or longer windows.");
        if (masks is not null && heldOut.Length > 0 && CalibrationSet.NoneCounts(masks[windows.Length..(windows.Length + heldOut.Length)]))
            throw new CalibrationException($"`assistant_only`: none of {heldOut.Length} held-out windows holds a token that an assistant says, so nothing could be judged by them; give more (`held_out`), longer ones, or none.");
        return new CalibrationSet(Ids(windows), Ids(heldOut), Ids(more), masks)
        {
            Documents = texts.Sum(text => text.Stream.Documents),
            TokensFound = texts.Sum(text => text.Stream.Found),
            Shares = shares ?? [],
            Sources = sources,
            Conversations = texts.SelectMany(text => text.Files).Sum(file => file.Conversations),
            Warnings = [.. texts.SelectMany(text => text.Files).SelectMany(file => file.Warnings), .. Twice(sources)],
        };

        static int[][] Ids(IdWindow[] all) => [.. all.Select(window => window.Ids)];
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
        if (!options.IsSelf && options.Sources.Any(source => source.Path == CalibrationOptions.Self))
            throw new CalibrationException($"'{CalibrationOptions.Self}' stands alone. Write ./{CalibrationOptions.Self} for a file of that name.");
        if (options is { IsSelf: true, AssistantOnly: true }) throw new CalibrationException("`assistant_only` needs conversations, and text sampled from the model is none.");
        if (options.Sources.Any(source => (source.Weight is null) != (options.Sources[0].Weight is null)))
            throw new CalibrationException("`calibration`: some texts have a weight and others none; give one to each, or to none.");
        if (options.Sources.FirstOrDefault(source => source.Weight is <= 0 or double.NaN or double.PositiveInfinity) is { } bad)
            throw new CalibrationException(FormattableString.Invariant($"`calibration`: the weight {bad.Weight} of '{bad.Name}' must be a number above 0."));
    }

    /// <summary>Tokens at which reading ends: every held-out window can have a window of text in front of it that is not used.</summary>
    private static long Wanted(CalibrationOptions options) => ((long)options.Samples + (2L * options.HeldOut) + options.MoreSamples) * options.SequenceLength;

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

    /// <summary>A text that is read.</summary>
    private sealed record Gathered(CalibrationStream Stream, TextSource[] Files);

    /// <summary>Reads texts.</summary>
    private sealed class Reader(
        CalibrationOptions options, ITokenizer? tokenizer, DecoderConfig config, CausalModel? model, int encodedWhole, IProgress<CalibrationProgress>? progress,
        CancellationToken cancellation)
    {
        public Gathered Read(IReadOnlyList<TextInput> texts, long wanted)
        {
            TextSource[] files = [.. texts.SelectMany(text => text.Expand().Select(path => new TextSource(path, Reading(text), Chat)))];
            var stream = new CalibrationStream(options, wanted, tokenizer, config, encodedWhole, model?.Checkpoint.Location ?? "the model");
            foreach (TextSource file in files)
            {
                if (stream.Full) break;
                stream.Append(file, progress, cancellation);
            }
            return new Gathered(stream, files);
        }

        private TextSourceOptions Reading(TextInput text) => new()
        {
            Format = options.Format,
            ChatArguments = options.ChatArguments,
            MarksAssistant = options.AssistantOnly,
            TextField = options.TextField,
            Join = text.Join,
            MostRows = text.MostRows,
            KeepEmptyRows = text.Join == TextJoin.BlankLines,
        };

        private ChatText? Chat() => model is null || tokenizer is null ? null : ChatText.Of(model.Checkpoint, tokenizer, config, options.ChatArguments);
    }
}
