using System.Globalization;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports;

/// <summary>
/// A picture of what every linear layer got, as SVG: one column of bars a layer, in model order: code width, rank, stored bits per weight, amax where a layer has a branch
/// (of the weight pale, of what the branch leaves for the grid full), and relative output error before (pale) and after (full). Hovering over a bar names the layer and its figures. It follows the light or dark scheme of who looks at it.
/// </summary>
public static class RankChart
{
    /// <summary>Name of the file in an output folder.</summary>
    public const string FileName = "layers.svg";

    private const int Left = 96, Right = 20, LegendTop = 22, PanelHeight = 90, Gap = 34, LeastWidth = 640, Series = 8;

    /// <summary>Draws the layers.</summary>
    /// <param name="layers">Layers in model order, named by module path or by name within their block.</param>
    public static string Draw(IReadOnlyList<LayerReport> layers)
    {
        int bar = Math.Clamp(1200 / Math.Max(1, layers.Count), 3, 28), width = Math.Max(LeastWidth, Left + Right + (bar * layers.Count));
        string[] kinds = [.. layers.Select(Kind).Distinct()];
        (string Title, Func<LayerReport, double> Value, Func<LayerReport, double>? Behind)[] panels =
        [
            ("bits of a code", layer => layer.Bits, null),
            ("rank", layer => layer.Rank, null),
            ("bits per weight", layer => layer.BitsPerWeight, null),
            .. layers.Any(layer => layer is { Rank: > 0, ResidualMagnitude: not null })
                ? [("amax", layer => layer.ResidualMagnitude ?? 0, layer => layer.Magnitude ?? 0)] : Array.Empty<(string, Func<LayerReport, double>, Func<LayerReport, double>?)>(),
            ("output error", layer => layer.ErrorAfter, layer => layer.ErrorBefore),
        ];
        int top = LegendTop + (Picture.LegendLine * Picture.LegendLines(kinds, width));
        var picture = new Picture(null, width, top + (panels.Length * (PanelHeight + Gap)) + 10, "What every layer got", $"{layers.Count} layers in model order: {string.Join(", ", panels.Select(panel => panel.Title))}.");
        picture.Legend(LegendTop, kinds.Select((kind, i) => (kind, i, false)));
        for (int panel = 0; panel < panels.Length; panel++)
        {
            (string title, Func<LayerReport, double> value, Func<LayerReport, double>? behind) = panels[panel];
            double largest = layers.Count == 0 ? 1 : layers.Max(layer => Math.Max(value(layer), behind?.Invoke(layer) ?? 0));
            if (!(largest > 0) || !double.IsFinite(largest)) largest = 1;
            int bottom = top + (panel * (PanelHeight + Gap)) + PanelHeight;
            picture.Text(Left - 6, bottom - PanelHeight + 10, title, "end");
            picture.Text(Left - 6, bottom - PanelHeight + 26, largest.ToString("G3", CultureInfo.InvariantCulture), "end", "soft");
            picture.Line(Left, bottom, Left + (bar * layers.Count), bottom, "axis");
            for (int i = 0; i < layers.Count; i++)
            {
                LayerReport layer = layers[i];
                string color = $"fill s{Array.IndexOf(kinds, Kind(layer)) % Series}";
                if (behind is not null) Bar(i, behind(layer), color + " pale");
                Bar(i, value(layer), color);

                void Bar(int index, double amount, string kind)
                {
                    double size = double.IsFinite(amount) ? Math.Max(0, amount) / largest * (PanelHeight - 14) : 0;
                    picture.Rectangle(Left + (index * bar), bottom - size, Math.Max(1, bar - 1), size, kind, string.Create(
                        CultureInfo.InvariantCulture, $"{layer.Name}: {layer.Bits} bits, rank {layer.Rank}, {layer.BitsPerWeight:F3} bits per weight, {Magnitudes(layer)}error {layer.ErrorBefore:G3} -> {layer.ErrorAfter:G3}"));
                }
            }
        }
        return picture.End().ToString();
    }

    private static string Magnitudes(LayerReport layer) =>
        layer is { Magnitude: { } before, ResidualMagnitude: { } after } ? string.Create(CultureInfo.InvariantCulture, $"amax {before:G3} -> {after:G3}, ") : "";

    private static string Kind(LayerReport layer) => layer.Name[(layer.Name.LastIndexOf('.') + 1)..];
}
