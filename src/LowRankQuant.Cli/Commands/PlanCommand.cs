using System.CommandLine;
using System.Text.Json;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Quantization.Planning;
using LowRankQuant.Runs;
using LowRankQuant.Runs.Quantizing;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq plan MODEL</c>: the options of <c>lrq quantize</c>, and nothing is done but one block timed.</summary>
internal sealed class PlanCommand(Terminal terminal, Engine engine, HubFiles hub)
{
    private readonly QuantizeOptions _options = new(engine.Methods);
    private readonly Option<bool> _untimed = new("--untimed") { Description = "Do not time a block; everything else takes no time." };

    public Command Build()
    {
        Command command = _options.AddTo(new Command("plan", "Say what a quantization would take and give: rules, memory, disk, sizes, time. Takes the options of quantize."));
        command.Options.Add(_untimed);
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), CancellationToken.None));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        using var setup = QuantizeSetup.Open(engine.Methods, hub, _options, parsed, planning: true, cancellation);
        (QuantizeJob job, IReadOnlyList<string> notes) = setup.Prepare();
        PlanReport plan = PlanRun.Run(job, setup.Problems, notes, !parsed.GetValue(_untimed), cancellation);
        if (setup.Json) terminal.Out.WriteLine(JsonSerializer.Serialize(plan, RunJson.Default.PlanReport));
        else Print(setup.Describe(), plan);
        foreach (string problem in plan.Problems) terminal.Error.WriteLine($"error: {OptionText.Of(problem)}");
        return plan.Works ? ExitCodes.Success : ExitCodes.BadRequest;
    }

    private void Print(string model, PlanReport plan)
    {
        TextWriter writer = terminal.Out;
        writer.WriteLine(model);
        writer.WriteLine(plan.Scheme);
        foreach (string note in plan.Notes) writer.WriteLine(OptionText.Of(note));
        writer.WriteLine();
        if (plan.Layers.Count > 0)
        {
            var layers = new TextTable("layer of a block", "shape", "grid", "bits/weight", plan.Target is { } target ? $"in {target}" : "") { WordColumns = 3 };
            foreach (PlannedGrid layer in plan.Layers.Concat(plan.Vocabulary))
                layers.Add(layer.Name, $"{layer.OutFeatures} x {layer.InFeatures}", layer.Grid, Format.Bits(layer.BitsPerWeight), Held(plan, layer));
            writer.Write(layers.ToString());
            writer.WriteLine();
        }
        if (plan.KeptLinears.Count > 0)
        {
            var kept = new TextTable("in its own type", "shape", "blocks", "") { WordColumns = 2 };
            foreach (KeptLinear linear in plan.KeptLinears) kept.Add(linear.Name, $"{linear.OutFeatures} x {linear.InFeatures}", Format.Count(linear.Blocks), linear.ByDefault ? "" : "as asked");
            writer.Write(kept.ToString());
            writer.WriteLine();
        }
        var sums = new TextTable("the run", "") { WordColumns = 2 };
        Add("bits per weight of the source", plan.SourceBitsPerWeight is not null, () => $"{Format.Bits(plan.SourceBitsPerWeight)}, {plan.SourceTypes ?? "floats"}");
        Add("size of the source", plan.SourceBytes is not null, () => Format.Bytes(plan.SourceBytes));
        Add("bits per quantized weight", plan.BitsPerWeight is not null, () => Format.Bits(plan.BitsPerWeight));
        Add("size of the result", plan.ResultBytes is not null, () => $"{Format.Bytes(plan.ResultBytes)}, {Format.Bits(plan.ResultBitsPerParameter)} bits per parameter");
        Add($"bits per quantized weight for {plan.Target}", plan.TargetBitsPerWeight is not null, () => Format.Bits(plan.TargetBitsPerWeight));
        Add($"size for {plan.Target}", plan.TargetBytes is not null, () => Format.Bytes(plan.TargetBytes));
        Add("memory of a block", plan.BlockBytes is not null, () => Format.Bytes(plan.BlockBytes) + (plan.BlockParts == PagingNames.Of(WeightPaging.None) ? "" : $", {plan.BlockParts}"));
        Add("peak memory while a block was timed", plan.TimedPeakBytes is not null, () => Format.Bytes(plan.TimedPeakBytes));
        Add("more statistics of inputs", plan.StatisticsBytes is not null, () => Format.Bytes(plan.StatisticsBytes));
        Add("activations", plan.ActivationBytes > 0, () => $"{Format.Bytes(plan.ActivationBytes)}, {Format.Bytes(plan.ActivationBytesInMemory)} of them in memory");
        Add("blocks that tuning keeps", plan.KeptBlockBytes is not null, () => Format.Bytes(plan.KeptBlockBytes));
        Add("disk", plan.DiskBytes is not null, () => Format.Bytes(plan.DiskBytes));
        Add("time of a block, estimated", plan.BlockSeconds is not null, () => Format.Duration(plan.BlockSeconds!.Value));
        foreach (TimedStage stage in plan.Stages) sums.Add($"time of {stage.Name}", Format.Duration(stage.Seconds));
        Add("time of the run, estimated", plan.Seconds is not null, () => Format.Duration(plan.Seconds!.Value));
        Add("more, if every training starts again", plan.RestartSeconds is not null, () => $"up to {Format.Duration(plan.RestartSeconds!.Value)}");
        writer.Write(sums.ToString());
        writer.WriteLine(plan.Works ? "The plan works." : "The plan does not work.");

        void Add(string what, bool there, Func<string> value)
        {
            if (there) sums.Add(what, value());
        }
    }

    private static string Held(PlanReport plan, PlannedGrid layer) => plan.Target is null ? ""
        : layer.Container is null ? "does not fit"
        : $"{layer.Container}, {Format.Bits(layer.TargetBitsPerWeight)} bits";
}
