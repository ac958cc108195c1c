using System.CommandLine;
using System.Text.Json.Nodes;
using LowRankQuant.Cli.Output;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq devices</c>: what computes here, and what would be used.</summary>
internal sealed class DevicesCommand(Terminal terminal)
{
    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object." };

    public Command Build()
    {
        var command = new Command("devices", "Say what the processor and the libraries here offer, and what --kernels and --precision would use.") { _json };
        command.SetAction(Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        using var device = new CpuDevice();
        CpuLibrary oneDnn = CpuSurvey.Find(CpuKernelKind.OneDnn), blas = CpuSurvey.Find(CpuKernelKind.Blas);
        string instructions = string.Join(", ", CpuSurvey.Instructions.Where(instruction => instruction.Has).Select(instruction => instruction.Name));
        string half = oneDnn.MultipliesHalf ? "--kernels onednn --precision bf16" : "none that are faster than those of floats";
        if (parsed.GetValue(_json))
        {
            terminal.Out.WriteLine(new JsonObject
            {
                ["threads"] = Environment.ProcessorCount,
                ["memory"] = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
                ["instructions"] = new JsonArray([.. CpuSurvey.Instructions.Where(instruction => instruction.Has).Select(instruction => (JsonNode?)instruction.Name)]),
                ["simd"] = device.Name,
                ["onednn"] = Of(oneDnn),
                ["blas"] = Of(blas),
                ["multipliesBf16"] = oneDnn.MultipliesHalf,
            }.ToJsonString());
            return ExitCodes.Success;
        }
        var table = new TextTable("", "") { WordColumns = 2 };
        table.Add("threads", $"{Environment.ProcessorCount}");
        table.Add("memory", Options.MemorySize.Format(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes));
        table.Add("instructions", instructions.Length == 0 ? "none that kernels are written for" : instructions);
        table.Add("--kernels simd (the default)", RunHeader.Machine(device.Name));
        table.Add("--kernels onednn", Said(oneDnn));
        table.Add("--kernels blas", Said(blas));
        table.Add("bf16 products", half);
        terminal.Out.Write(table.ToString());
        return ExitCodes.Success;
    }

    private static string Said(CpuLibrary library) => library.File is { } file ? $"{library.Description}, from {file}" : library.Description;

    private static JsonObject Of(CpuLibrary library) => new() { ["file"] = library.File, ["description"] = library.Description };
}
