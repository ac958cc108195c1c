using System.CommandLine;
using System.Text.Json;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Corrections;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs.Correcting;
using LowRankQuant.Runs.Reports;
using static LowRankQuant.Cli.Options.OptionReader;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq correct QUANTIZED --reference FULL</c>.</summary>
internal sealed class CorrectCommand(Terminal terminal, Engine engine, HubFiles hub)
{
    private const int DefaultSamples = 64;
    private const int DefaultLength = 512;
    private const int LargestPlannedRank = 64;

    private readonly Argument<string> _model = new("QUANTIZED") { Description = $"The quantized model. {ModelPath.Help}" };
    private readonly Option<string?> _reference = Create("--reference", "FULL", "The model it was made from, in full precision.");
    private readonly Option<string?> _out = Create("--out", "DIR", "The adapter folder to write. A run that was interrupted goes on there.");
    private readonly Option<string?> _targetBits = Create(
        "--target-bits", "X", "Bits per weight of all linears together, the quantized ones and the branches in the bits of their factors.");

    private readonly Option<string?> _rank = Create("--rank", "N", "Rank of every branch; with --target-bits the largest (default with it: 64).");
    private readonly Option<string?> _factorBits = Create("--factor-bits", "8|16", "Bits of an element of a branch (default: 8).");
    private readonly Option<string?> _damping = Create("--damping", "X", "Part of the mean diagonal added to the input covariance (default: 0.3).");
    private readonly Option<string?> _propagation = Create("--propagation", "X", "Part of earlier layers' errors that a branch undoes, 0 to 1 (default: 0.7).");
    private readonly Option<string[]?> _calibration = new("--calibration")
    {
        HelpName = "TEXT",
        Description = "Calibration text: txt, csv, json, jsonl, parquet (texts or conversations), these as .gz or .zst, or token ids; a file, a folder, a pattern, on the hub (hf://datasets/ORG/NAME/FILE), or a data set by name (lrq data lists them); may be repeated, each perhaps with a weight (a.txt=0.7). 'self' samples from the reference.",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    private readonly Option<string?> _format = CommonOptions.FormatOfText("--calibration-format", "every calibration file");
    private readonly Option<string?> _textField = CommonOptions.TextField();
    private readonly Option<string?> _samples = Create("--samples", "N", "Calibration windows (default: 64).");
    private readonly Option<string?> _length = Create("--sequence-length", "N", "Tokens per window (default: 512, at most what the model has).");
    private readonly Option<string?> _seed = Create("--seed", "N", "Seed of everything random (default: 42).");
    private readonly Option<string?> _form = Create(
        "--adapter-form", "lrq|pattern|padded",
        "How the adapter is written: lrq's own file in the bits that are counted, or a PEFT folder in floats, ranks by module or padded to one (default: pattern).");

    private readonly Option<string?> _type = Create(
        "--adapter-dtype", "TYPE", "Type of a PEFT folder's factors: fp32, fp16 or bf16 (default: the narrowest that holds them exactly, fp32 for 8-bit factors).");

    private readonly Option<string?> _threads = CommonOptions.Threads();
    private readonly Option<string?> _memory = CommonOptions.Memory();
    private readonly Option<string?> _kernels = CommonOptions.Kernels();
    private readonly Option<bool> _overwrite = new("--overwrite") { Description = "Delete what another run left in the output folder." };
    private readonly Option<bool> _json = CommonOptions.Json();

    public Command Build()
    {
        var command = new Command("correct", "Find a low-rank adapter that brings a quantized model closer to its original.") { _model };
        Option[] options =
        [
            _reference, _out, _targetBits, _rank, _factorBits, _damping, _propagation, _calibration, _format, _textField, _samples, _length, _seed,
            _form, _type, _threads, _memory, _kernels, _overwrite, _json,
        ];
        foreach (Option option in options) command.Options.Add(option);
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), CancellationToken.None));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        var reader = new OptionReader(parsed);
        bool json = reader.Flag(_json);
        CpuDeviceOptions deviceOptions = CommonOptions.Device(reader, _threads, _kernels);
        string? reference = reader.Text(_reference), output = reader.Text(_out);
        double? target = reader.Double(_targetBits), damping = reader.Double(_damping), propagation = reader.Double(_propagation);
        int? rank = reader.Int(_rank, 1), samples = reader.Int(_samples, 1), length = reader.Int(_length, 2);
        int factorBits = reader.Int(_factorBits) ?? 8;
        TextFormat format = reader.Choice(_format, CommonOptions.TextFormats) ?? TextFormat.Auto;
        ulong? seed = reader.UnsignedLong(_seed);
        AdapterForm form = reader.Choice(_form, QuantizeOptions.AdapterForms) ?? AdapterForm.Pattern;
        SafetensorsType? factorType = reader.Choice(_type, ExportOptionSet.DenseTypes);
        if (form == AdapterForm.Codes) reader.Refuse("is for a PEFT folder, --adapter-form pattern or padded", _type);
        long? memory = reader.Size(_memory);
        IReadOnlyList<TextArgument> named = TextArguments.Read(reader.Texts(_calibration));
        TextArguments.Check(named, reader.Problems);
        List<string> problems = reader.Problems;
        if (reference is null) problems.Add("--reference is missing: name the model in full precision.");
        if (string.IsNullOrWhiteSpace(output)) problems.Add("--out is missing: name the adapter folder to write.");
        else if (FolderPath.FileInTheWay(output) is { } file) problems.Add($"--out {output}: {file} is a file; name a folder.");
        else CheckOutput(output, [parsed.GetValue(_model)!, .. reference is null ? [] : new[] { reference }, .. named.Select(text => text.Name)], problems);
        if (target is null && rank is null) problems.Add("--target-bits or --rank is missing: say how much the branches may take.");
        if (target is { } bits && !(bits > 0 && bits <= 64)) problems.Add(FormattableString.Invariant($"--target-bits {bits}: must be more than 0 and at most 64."));
        if (factorBits is not (8 or 16)) problems.Add($"--factor-bits {factorBits}: must be 8 or 16.");
        if (damping is < 0 or > 10 or double.NaN) problems.Add(FormattableString.Invariant($"--damping {damping}: must be 0 to 10."));
        if (propagation is < 0 or > 1 or double.NaN) problems.Add(FormattableString.Invariant($"--propagation {propagation}: must be 0 to 1."));
        if (named.Count == 0) problems.Add("--calibration is missing: name a text, or self.");
        RequestException.ThrowIfAny(problems);
        using var device = new CpuDevice(deviceOptions);
        ModelPath path = hub.Model(parsed.GetValue(_model)!, cancellation), referencePath = hub.Model(reference!, cancellation);
        TextInput[] sources = [.. named.Select(text => hub.Input(text, measured: false, cancellation))];
        CheckOutput(output!, [path.Path, referencePath.Path, .. sources.SelectMany(text => text.Files ?? [text.Path])], problems);
        RequestException.ThrowIfAny(problems);
        using CausalModel quantized = ModelSource.Open(path.Path, device);
        using CausalModel original = ModelSource.Open(referencePath.Path, device);
        CheckPair(quantized, original, rank, target, length);
        var job = new CorrectJob
        {
            Quantized = quantized,
            Reference = original,
            Output = output!,
            Overwrite = reader.Flag(_overwrite),
            Form = form,
            FactorType = factorType,
            MemoryBytes = memory,
            Options = new BranchCorrectionOptions
            {
                TargetBits = target,
                Rank = rank ?? LargestPlannedRank,
                FactorBits = factorBits,
                Damping = damping ?? 0.3,
                Propagation = propagation ?? 0.7,
                Seed = seed ?? 42,
            },
            Calibration = new CalibrationOptions
            {
                Sources = sources,
                Format = format,
                TextField = reader.Text(_textField) ?? TextSourceOptions.UsualField,
                Samples = samples ?? DefaultSamples,
                TakeFewer = samples is null,
                HeldOut = 0,
                SequenceLength = length ?? Math.Min(DefaultLength, original.Config.MaxPositions),
                Seed = seed ?? 42,
            },
        };
        CorrectReport report;
        using (RunNarrator narrator = RunDisplay.Create(terminal, json)) report = engine.Correct.Run(job, narrator, cancellation);
        TextWriter writer = json ? terminal.Error : terminal.Out;
        foreach (string warning in report.Warnings) writer.WriteLine($"warning: {OptionText.Of(warning)}");
        string written = report.Output is null ? "no branch pays; no adapter was written" : $"written to {report.Output}";
        string sizes = report.AdapterBytes == report.CountedAdapterBytes
            ? FormattableString.Invariant($"{report.AdapterBytes:N0} bytes of factors")
            : FormattableString.Invariant($"{report.CountedAdapterBytes:N0} bytes of factors as lrq stores them, ") +
                FormattableString.Invariant($"{report.AdapterBytes:N0} in this folder ({report.BitsPerWeight:F3} bits per weight)");
        writer.WriteLine(FormattableString.Invariant($"{report.BaseBitsPerWeight:F3} -> {report.CountedBitsPerWeight:F3} bits per weight, {sizes}, ") +
            FormattableString.Invariant($"ranks {report.Layers.Min(layer => layer.Rank)} to {report.Layers.Max(layer => layer.Rank)}, {Format.Duration(report.Seconds)}, {written}"));
        if (report is { BaseBytes: { } model, Output: not null })
            writer.WriteLine($"size: model {Format.Bytes(model)}, adapter {Format.Bytes(report.AdapterBytes)}, together {Format.Bytes(model + report.AdapterBytes)}");
        if (json) terminal.Out.WriteLine(JsonSerializer.Serialize(report, RunJson.Default.CorrectReport));
        return ExitCodes.Success;
    }

    // --overwrite empties the output folder: nothing that the run reads may lie in it.
    private static void CheckOutput(string output, IReadOnlyList<string> inputs, List<string> problems)
    {
        foreach (string input in inputs)
        {
            if (input is ModelPath.Demo or CalibrationOptions.Self) continue;
            if (FolderPath.Holds(output, input)) problems.Add($"--out {output}: holds {input}, which this run reads; name another folder.");
        }
    }

    private static void CheckPair(CausalModel quantized, CausalModel original, int? rank, double? target, int? length)
    {
        var problems = new List<string>();
        if (quantized.Config.Layers != original.Config.Layers || !quantized.Modules.SequenceEqual(original.Modules))
            problems.Add("--reference has other layers than the quantized model; a branch needs the model that was quantized.");
        if (quantized.Checkpoint is AdaptedCheckpoint) problems.Add("the quantized model has an adapter already; correct its base alone.");
        if (length > original.Config.MaxPositions) problems.Add($"--sequence-length {length}: the model has {original.Config.MaxPositions} positions.");
        (string name, int outFeatures, int inFeatures) = original.Linears.MinBy(linear => Math.Min(linear.OutFeatures, linear.InFeatures));
        if (target is null && rank > Math.Min(outFeatures, inFeatures))
            problems.Add($"--rank {rank}: larger than {name} ({outFeatures} x {inFeatures}); ask for at most {Math.Min(outFeatures, inFeatures)}.");
        RequestException.ThrowIfAny(problems);
        if (target is not { } wanted) return;
        double bits = 0, weights = 0;
        for (int block = 0; block < quantized.Config.Layers; block++)
        {
            foreach ((string linear, int rows, int columns) in quantized.LinearsOf(block))
            {
                bits += quantized.Checkpoint.StoredBitsOf($"{quantized.BlockName(block)}.{linear}.weight");
                weights += (double)rows * columns;
            }
        }
        if (wanted < bits / weights)
            throw new RequestException([FormattableString.Invariant($"--target-bits {wanted}: the quantized model alone takes {bits / weights:F4} bits a weight; ask for more.")]);
    }
}
