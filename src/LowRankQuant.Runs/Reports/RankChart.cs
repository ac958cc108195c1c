using System.Globalization;
using System.Security;
using System.Text;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Runs.Reports;

/// <summary>
/// A picture of what every linear layer got, as SVG: one column of four bars a layer, in model order: code width, rank, stored bits per weight, and
/// relative output error before (pale) and after (dark). Hovering over a bar names the layer and its figures.
/// </summary>
public static class RankChart
{
    /// <summary>Name of the file in an output folder.</summary>
    public const string FileName = "layers.svg";

    private const int Left = 90;
    private const int Top = 40;
    private const int PanelHeight = 90;
    private const int Gap = 34;
    private const int LeastWidth = 640;

    private static readonly string[] Colors = ["#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d"];

    /// <summary>Draws the layers.</summary>
    /// <param name="layers">Layers in model order, named by module path or by name within their block.</param>
    public static string Draw(IReadOnlyList<LayerReport> layers)
    {
        int bar = Math.Clamp(1200 / Math.Max(1, layers.Count), 3, 28), width = Math.Max(LeastWidth, Left + 20 + (bar * layers.Count));
        string[] kinds = [.. layers.Select(Kind).Distinct()];
        (string Title, Func<LayerReport, double> Value, Func<LayerReport, double>? Behind)[] panels =
        [
            ("bits of a code", layer => layer.Bits, null),
            ("rank", layer => layer.Rank, null),
            ("bits per weight", layer => layer.BitsPerWeight, null),
            ("output error", layer => layer.ErrorAfter, layer => layer.ErrorBefore),
        ];
        int height = Top + (panels.Length * (PanelHeight + Gap)) + 10;
        var svg = new StringBuilder();
        Line($"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">");
        Line($"<rect width=\"100%\" height=\"100%\" fill=\"white\"/>");
        for (int i = 0; i < kinds.Length; i++)
        {
            int x = Left + (i * 82);
            Line($"<rect x=\"{x}\" y=\"12\" width=\"10\" height=\"10\" fill=\"{Colors[i % Colors.Length]}\"/><text x=\"{x + 14}\" y=\"21\">{SecurityElement.Escape(kinds[i])}</text>");
        }
        for (int panel = 0; panel < panels.Length; panel++)
        {
            (string title, Func<LayerReport, double> value, Func<LayerReport, double>? behind) = panels[panel];
            double largest = layers.Count == 0 ? 1 : layers.Max(layer => Math.Max(value(layer), behind?.Invoke(layer) ?? 0));
            if (!(largest > 0)) largest = 1;
            int bottom = Top + (panel * (PanelHeight + Gap)) + PanelHeight;
            Line($"<text x=\"8\" y=\"{bottom - PanelHeight + 10}\">{title}</text><text x=\"{Left - 6}\" y=\"{bottom - PanelHeight + 24}\" text-anchor=\"end\" fill=\"#666\">{largest:G3}</text>");
            Line($"<line x1=\"{Left}\" y1=\"{bottom}\" x2=\"{Left + (bar * layers.Count)}\" y2=\"{bottom}\" stroke=\"#999\"/>");
            for (int i = 0; i < layers.Count; i++)
            {
                LayerReport layer = layers[i];
                string color = Colors[Array.IndexOf(kinds, Kind(layer)) % Colors.Length];
                if (behind is not null) Bar(i, behind(layer), color, 0.3);
                Bar(i, value(layer), color, 1);

                void Bar(int index, double amount, string fill, double opacity)
                {
                    double size = Math.Max(0, amount) / largest * (PanelHeight - 14);
                    Line($"<rect x=\"{Left + (index * bar)}\" y=\"{bottom - size:F1}\" width=\"{Math.Max(1, bar - 1)}\" height=\"{size:F1}\" fill=\"{fill}\" opacity=\"{opacity}\"><title>{SecurityElement.Escape(layer.Name)}: {layer.Bits} bits, rank {layer.Rank}, {layer.BitsPerWeight:F3} bits per weight, error {layer.ErrorBefore:G3} -&gt; {layer.ErrorAfter:G3}</title></rect>");
                }
            }
        }
        Line($"</svg>");
        return svg.ToString();

        void Line(FormattableString text) => svg.Append(text.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    private static string Kind(LayerReport layer) => layer.Name[(layer.Name.LastIndexOf('.') + 1)..];
}
