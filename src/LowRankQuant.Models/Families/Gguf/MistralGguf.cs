using System.Text.Json.Nodes;

namespace LowRankQuant.Models.Families.Gguf;

/// <summary>Ministral 3 in GGUF: its temperature by position and YaRN's logarithm have keys of their own.</summary>
internal static class MistralGguf
{
    private const string Parameters = "rope_parameters", Beta = "llama_4_scaling_beta";

    /// <summary>Ministral 3, alone and as the text part of Mistral 3.</summary>
    public static GgufArchitecture Third { get; } = new()
    {
        Name = "mistral3",
        ModelType = "ministral3",
        AlsoWrites = ["mistral3"],
        Class = "Ministral3ForCausalLM",
        Pairs = GgufPairs.Neighbours,
        BiasKeys = [],
        Fields =
        [
            new GgufField("attention.temperature_scale", subject => (float?)subject.Reader.Part(Parameters).Number(Beta), ReadParameters),
            new GgufField("rope.scaling.yarn_log_multiplier", _ => null, _ => { }),
        ],
        MissingWindow = subject => subject.Reader.Window("sliding_window"),
    };

    // In the style in which the family keeps it: everything about angles and positions in one object.
    private static void ReadParameters(GgufReading reading)
    {
        var parameters = reading.Json["rope_scaling"] as JsonObject ?? new JsonObject { ["rope_type"] = "default" };
        reading.Json.Remove("rope_scaling");
        parameters["rope_theta"] = reading.Json["rope_theta"]!.DeepClone();
        reading.Json.Remove("rope_theta");
        if (reading.Number("attention.temperature_scale") is { } beta) parameters[Beta] = beta;
        reading.Json[Parameters] = parameters;
    }
}
